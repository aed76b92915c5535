/**
 * QEMU as a process: started, watched, ended.
 *
 * It is the leader of a session of its own, so that a ^C meant for the daemon does not reach it, and its output goes
 * to a file, so that it outlives a daemon that crashes: a pipe without a reader would kill it at its next word. What
 * it said last is read back from that file when an error needs words.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { StillwireError } from '../errors/index.js';

/** How much of QEMU's output an error carries, in bytes. */
const TAIL_BYTES = 4096;
/** How long a process may outlive its connections before it counts as running on. */
const EXIT_GRACE_MS = 1000;

export interface ProcessOptions {
  /** The guest's name, for messages. */
  readonly guest: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Our descriptors; QEMU finds them as {@link FIRST_FD} and following. */
  readonly fds: readonly number[];
  /** Receives stdout and stderr; emptied first. */
  readonly logFile: string;
}

/** Number in the child of the first inherited descriptor; the standard ones come before. */
export const FIRST_FD = 3;

export class QemuProcess {
  readonly #child: ChildProcess;
  readonly #logFile: string;
  #pid: number | undefined;

  /** Resolves when the process has ended, with the reason in words. Never rejects. */
  readonly ended: Promise<string>;

  /**
   * Starts the program. Resolves once it runs, whatever it does then.
   * @throws StillwireError MISSING_PROGRAM; GUEST_FAILED when it cannot be run or the log not be written
   */
  static async start(options: ProcessOptions): Promise<QemuProcess> {
    const { guest, program } = options;
    try {
      return await QemuProcess.#spawn(options);
    } catch (error) {
      const { code, syscall, message } = error as NodeJS.ErrnoException;
      const missing = code === 'ENOENT' && syscall?.startsWith('spawn') === true;
      const words = missing ? `guest ${guest}: ${program} is not installed` : `guest ${guest}: ${message}`;
      throw new StillwireError(
        missing ? 'MISSING_PROGRAM' : 'GUEST_FAILED',
        words,
        { guest, program },
        error,
      );
    }
  }

  static async #spawn({ program, args, fds, logFile }: ProcessOptions): Promise<QemuProcess> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND;
    const log = openSync(logFile, flags, 0o600);
    try {
      const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log, ...fds] });
      const process = new QemuProcess(child, logFile);
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
      return process;
    } finally {
      closeSync(log);
    }
  }

  private constructor(child: ChildProcess, logFile: string) {
    this.#child = child;
    this.#logFile = logFile;
    this.#pid = child.pid;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#pid = undefined;
        const how = signal === null ? `QEMU exited with code ${code ?? '?'}` : `QEMU was ended by ${signal}`;
        const words = this.lastWords();
        resolve(words === '' ? how : `${how}: ${words}`);
      });
    });
  }

  /** Undefined once it has ended. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** The end of what it wrote to stdout and stderr, trimmed. */
  lastWords(): string {
    let fd: number | undefined;
    try {
      fd = openSync(this.#logFile, constants.O_RDONLY);
      const start = Math.max(0, fstatSync(fd).size - TAIL_BYTES);
      const buffer = Buffer.alloc(TAIL_BYTES);
      return buffer.toString('utf8', 0, readSync(fd, buffer, 0, TAIL_BYTES, start)).trim();
    } catch {
      return ''; // the run directory is gone: nothing to quote
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  /** Waits a moment for a process that seems to be ending: its sockets close before its exit is seen. */
  async settle(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, EXIT_GRACE_MS).unref();
    });
    await Promise.race([this.ended, grace]);
    clearTimeout(timer);
  }

  /** An error in words: why the process ended, when that is what the error comes from. */
  async explain(error: unknown): Promise<string> {
    if (error instanceof StillwireError && error.code === 'GUEST_DIED') {
      await this.settle();
      if (this.#pid === undefined) return this.ended;
    }
    return error instanceof Error ? error.message : String(error);
  }

  /** SIGKILL to this very process, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#pid !== undefined) this.#child.kill('SIGKILL');
    await this.ended;
  }
}
