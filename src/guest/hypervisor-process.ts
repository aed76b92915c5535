/**
 * A hypervisor as a process, whether we started it (qemu-process.ts) or found it running (found-process.ts): watched,
 * ended, and asked for its last words, which it writes into a file that outlives a daemon.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { StillwireError } from '../errors/index.js';

/** How much of QEMU's output an error carries, in bytes. */
const TAIL_BYTES = 4096;
/** How long a process may outlive its connections before it counts as running on. */
const EXIT_GRACE_MS = 1000;

export abstract class HypervisorProcess {
  readonly #logFile: string;

  /** Resolves when the process has ended, with the reason in words. Never rejects. */
  abstract readonly ended: Promise<string>;

  /** @param logFile what the process writes to stdout and stderr */
  protected constructor(logFile: string) {
    this.#logFile = logFile;
  }

  /** Undefined once it has ended. */
  abstract get pid(): number | undefined;

  /** SIGKILL to this very process, and waits until it is gone. */
  abstract kill(): Promise<void>;

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

  /** Its end in words: how, and what it said last. */
  protected epitaph(how: string): string {
    const words = this.lastWords();
    return words === '' ? how : `${how}: ${words}`;
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
      if (this.pid === undefined) return this.ended;
    }
    return error instanceof Error ? error.message : String(error);
  }
}
