/**
 * What time it is for a turn of the switch, and being woken when something is due.
 *
 * A look at the clock is a system call on some machines (a guest whose clock the C library cannot read by itself), and so
 * is a wait that has to end by the clock. A turn that does nothing but pass a frame on needs neither: it is told the time of
 * the last look, which is at most {@link TICK_MS} old, for a timer ends every longer silence. Where time matters, who
 * needs it looks: frames that wait in a queue, a command, a port in a flood. Looked at once in a turn, it is the same for all.
 */
import { clearEvent, closeFd, createTimer, monotonicMs, setTimer } from '../sys/index.js';

/** No time told is older. A station is forgotten after minutes; nothing else that goes by it is that near. */
const TICK_MS = 250;
/** What is due sooner is waited for in the call that waits; for anything later the timer is set, once. */
const SOON_MS = 5;
/** Of a timer that rings so much late nobody takes notice. */
const LATE_MS = 0.5;

export class Timekeeper {
  /** Readable when {@link rang} is to be called. */
  readonly fd = createTimer();
  #now = monotonicMs();
  #looked = false;
  #ringsAt = Number.POSITIVE_INFINITY;

  /** Milliseconds of the monotonic clock, at the last look. Never goes back. */
  get now(): number {
    return this.#now;
  }

  /** The same, of this turn. */
  look(): number {
    if (!this.#looked) this.#now = monotonicMs();
    this.#looked = true;
    return this.#now;
  }

  /** Time has passed: a turn begins, or something took long. */
  pass(): void {
    this.#looked = false;
  }

  rang(): void {
    clearEvent(this.fd);
    this.#ringsAt = Number.POSITIVE_INFINITY;
    this.#looked = false;
    this.look();
  }

  /**
   * Sees to it that something happens within `next` milliseconds of {@link now}; undefined: nothing is due.
   * @returns microseconds to wait at most, Infinity where that need not end by itself
   */
  wake(next = Number.POSITIVE_INFINITY): number {
    if (next < SOON_MS) return Math.ceil(next * 1000);
    const at = this.#now + Math.min(next, TICK_MS);
    if (this.#ringsAt > at + LATE_MS) setTimer(this.fd, (this.#ringsAt = at));
    return Number.POSITIVE_INFINITY;
  }

  close(): void {
    closeFd(this.fd);
  }
}
