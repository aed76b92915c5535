/**
 * A hypervisor that we found running: a daemon before us started it, or somebody else.
 *
 * It is held by a pidfd, so that whatever is done is done to this very process. It is not our child, so nobody tells us
 * of its end: the pidfd is looked at, which costs a microsecond. Its exit code is for its parent alone.
 */
import { StillwireError } from '../errors/index.js';
import { closeFd } from '../sys/fd.js';
import { hasEnded, killByPidfd, openPidfd } from '../sys/pidfd.js';
import { HypervisorProcess } from './hypervisor-process.js';

/** How soon an end is noticed, milliseconds. */
const WATCH_MS = 50;
/** The same while its end is waited for. */
const URGENT_MS = 2;

export interface FoundProcessOptions {
  /** The guest's name, for messages. */
  readonly guest: string;
  readonly pid: number;
  /** Clock ticks from boot to its start (startTimeOf); absent: whoever has the pid now. */
  readonly startTime?: string;
  /** Where its output goes; it need not exist. */
  readonly logFile: string;
}

export class FoundProcess extends HypervisorProcess {
  readonly ended: Promise<string>;
  readonly #pid: number;
  #pidfd: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #onEnd!: (reason: string) => void;

  /** @throws StillwireError GUEST_DIED when there is no such process (any more); SYSCALL */
  static open({ guest, pid, startTime, logFile }: FoundProcessOptions): FoundProcess {
    const pidfd = openPidfd(pid, startTime);
    if (pidfd !== undefined) return new FoundProcess(pid, pidfd, logFile);
    throw new StillwireError('GUEST_DIED', `guest ${guest}: its process ${pid} has ended`, { guest, pid });
  }

  private constructor(pid: number, pidfd: number, logFile: string) {
    super(logFile);
    this.#pid = pid;
    this.#pidfd = pidfd;
    this.ended = new Promise((resolve) => (this.#onEnd = resolve));
    this.#watch(WATCH_MS);
  }

  #watch(periodMs: number): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      if (this.#pidfd === undefined || !hasEnded(this.#pidfd)) return;
      this.release();
      this.#onEnd(this.epitaph('QEMU has ended'));
    }, periodMs).unref();
  }

  get pid(): number | undefined {
    return this.#pidfd === undefined ? undefined : this.#pid;
  }

  /** For pidfd_getfd. @throws StillwireError GUEST_DIED once it has ended */
  get pidfd(): number {
    if (this.#pidfd !== undefined) return this.#pidfd;
    throw new StillwireError('GUEST_DIED', `process ${this.#pid} has ended`);
  }

  async kill(): Promise<void> {
    if (this.#pidfd === undefined) return;
    killByPidfd(this.#pidfd);
    this.#watch(URGENT_MS);
    this.#timer?.ref(); // nothing else may keep the event loop alive meanwhile
    await this.ended;
  }

  /** Lets go of it: it runs on, and its end is no longer told. */
  release(): void {
    clearInterval(this.#timer);
    if (this.#pidfd !== undefined) closeFd(this.#pidfd);
    this.#pidfd = undefined;
  }
}
