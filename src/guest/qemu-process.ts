/**
 * QEMU as a process: started, watched, ended. (One that we find running is a FoundProcess.)
 *
 * It is the leader of a session of its own, so that a ^C meant for the daemon does not reach it, and its output goes
 * to a file, so that it outlives a daemon that crashes: a pipe without a reader would kill it at its next word. What
 * it said last is read back from that file when an error needs words.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { StillwireError } from '../errors/index.js';
import { HypervisorProcess } from './hypervisor-process.js';

export interface ProcessOptions {
  /** The guest's name, for messages. */
  readonly guest: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Our descriptors; QEMU finds them as {@link FIRST_FD} and following. */
  readonly fds: readonly number[];
  /** Receives stdout and stderr; emptied first. */
  readonly logFile: string;
  /** Added to our environment, before all else: dmtcp_get_restart_env of DMTCP 3 finds nothing but the first variable. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What is started, in the words that tell its end. Default: QEMU. */
  readonly what?: string;
}

/** Number in the child of the first inherited descriptor; the standard ones come before. */
export const FIRST_FD = 3;

export class QemuProcess extends HypervisorProcess {
  readonly #child: ChildProcess;
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

  static async #spawn(options: ProcessOptions): Promise<QemuProcess> {
    const { program, args, fds, logFile, environment = {}, what = 'QEMU' } = options;
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND;
    const log = openSync(logFile, flags, 0o600);
    try {
      const env = { ...environment, ...process.env, ...environment }; // ours first: see ProcessOptions
      const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log, ...fds], env });
      const started = new QemuProcess(child, logFile, what);
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
      return started;
    } finally {
      closeSync(log);
    }
  }

  private constructor(child: ChildProcess, logFile: string, what: string) {
    super(logFile);
    this.#child = child;
    this.#pid = child.pid;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#pid = undefined;
        const how =
          signal === null ? `${what} exited with code ${code ?? '?'}` : `${what} was ended by ${signal}`;
        resolve(this.epitaph(how));
      });
    });
  }

  /** Undefined once it has ended. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** SIGKILL to this very process, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#pid !== undefined) this.#child.kill('SIGKILL');
    await this.ended;
  }
}
