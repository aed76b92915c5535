/**
 * Which ports bring so many frames that waking for each would cost more than the frames. Such a port is not waited for:
 * it is looked at every VISIT_US, and what has gathered is received in one burst. Its frames may be late by that; neither
 * its sender nor we pay for a wake-up each.
 *
 * One who asks and waits for the answer never gets here: a round trip takes longer than 1 / BUSY_FRAMES_PER_MS. Eight of
 * them behind one port may.
 */
/** Frames a millisecond from which on a port is busy. */
const BUSY_FRAMES_PER_MS = 64;
/** How long a busy port's frames gather, microseconds; the kernel's timer adds up to half as much (PR_SET_TIMERSLACK). */
export const VISIT_US = 100;
/** Over which the rate is measured: short enough that the beginning of a flood does not count. */
const MEASURE_MS = 1;

export class Pressure {
  readonly #since: Float64Array;
  readonly #frames: Int32Array;
  readonly #busy: Uint8Array;

  /** @param ports how many there may be */
  constructor(ports: number) {
    this.#since = new Float64Array(ports);
    this.#frames = new Int32Array(ports);
    this.#busy = new Uint8Array(ports);
  }

  /** A port has brought `frames`, at `now` in milliseconds; whether it is busy. */
  note(port: number, frames: number, now: number): boolean {
    this.#frames[port]! += frames;
    const elapsed = now - this.#since[port]!;
    if (elapsed >= MEASURE_MS) {
      this.#busy[port] = this.#frames[port]! >= BUSY_FRAMES_PER_MS * elapsed ? 1 : 0;
      this.#frames[port] = 0;
      this.#since[port] = now;
    }
    return this.#busy[port] === 1;
  }
}
