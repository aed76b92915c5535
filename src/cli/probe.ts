/** Asking a program of the system whether it works. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const LONGEST_MS = 10_000;
/** Where system programs are for root, and not on every user's PATH. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

export interface Answer {
  readonly ran: boolean;
  /** The first line it said, or why it failed. */
  readonly words: string;
}

const firstLine = (text: string): string => text.trim().split('\n')[0] ?? '';

/** Runs a program to its end; ended when it takes longer than {@link LONGEST_MS}. Never throws. */
export async function probe(program: string, ...args: string[]): Promise<Answer> {
  try {
    const options = { timeout: LONGEST_MS, env: { ...process.env, PATH } };
    const { stdout, stderr } = await execute(program, args, options);
    return { ran: true, words: firstLine(stdout) || firstLine(stderr) };
  } catch (error) {
    const { code, stderr = '', message } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === 'ENOENT') return { ran: false, words: `${program} is not installed` };
    return { ran: false, words: firstLine(stderr) || firstLine(message) };
  }
}

/** All that a program says of itself with --help, however it ends. Never throws. */
export async function manual(program: string): Promise<string> {
  try {
    const { stdout, stderr } = await execute(program, ['--help'], {
      timeout: LONGEST_MS,
      env: { ...process.env, PATH },
    });
    return stdout + stderr;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return stdout + stderr;
  }
}
