/** DMTCP's programs, as they are found on PATH, and its version. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { thisMachine } from '../definition/surroundings.js';
import { StillwireError } from '../errors/index.js';

const execute = promisify(execFile);
const LONGEST_MS = 20_000;

export type DmtcpProgram = 'dmtcp_launch' | 'dmtcp_restart' | 'dmtcp_command' | 'dmtcp_coordinator';

/**
 * Runs one of them to its end; what it said on stdout and stderr.
 * @throws StillwireError MISSING_PROGRAM; GUEST_FAILED with its words
 */
export async function runDmtcp(program: DmtcpProgram, ...args: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await execute(program, args, { timeout: LONGEST_MS });
    return `${stdout}\n${stderr}`.trim();
  } catch (error) {
    const {
      code,
      stderr = '',
      stdout = '',
      message,
    } = error as NodeJS.ErrnoException & Record<string, string>;
    if (code === 'ENOENT') {
      throw new StillwireError('MISSING_PROGRAM', `${program} is not installed`, { program });
    }
    const words = `${stdout}\n${stderr}`.trim() || message;
    throw new StillwireError('GUEST_FAILED', `${program} ${args.join(' ')}: ${words}`, { program }, error);
  }
}

/** Such as 3.2.0 or 5.0.0. @throws as {@link runDmtcp} */
export async function dmtcpVersion(program: DmtcpProgram = 'dmtcp_launch'): Promise<string> {
  const said = await runDmtcp(program, '--version');
  return /\b(\d+\.\d+(?:\.\d+)?(?:[-+.\w]*)?)/.exec(said)?.[1] ?? 'unknown';
}

/**
 * Whether this DMTCP was built with forked checkpointing (`--enable-forked-checkpointing`). It has no option that tells:
 * its dmtcp_launch sets a variable then, whose name is in it. Set by hand in another build, 5.0 and 3.2 die of it.
 */
export async function canFork(): Promise<boolean> {
  const launch = thisMachine.findProgram('dmtcp_launch');
  return launch !== undefined && (await readFile(launch)).includes('DMTCP_FORKED_CHECKPOINT');
}
