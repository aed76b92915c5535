/**
 * How fast a queue may be emptied after a hold. At full speed a few hundred saved frames overrun the socket buffer
 * of the program in the guest; so the queue goes out at twice the rate the port had before, and no slower than
 * FLOOR.
 */
const FLOOR_FRAMES_PER_MS = 64;
/** Frames that may go at once after a pause. */
const BURST_FRAMES = 64;
const MEASURE_MS = 50;

export class Pace {
  #rate = 0; // frames per millisecond, measured
  #measuredAt = 0;
  #measuredSent = 0;
  #allowance = 0;
  #countedAt = 0;
  #active = false;

  /** Feeds the measurement: frames sent on the port in all. The rate of a release itself is not learned from. */
  measure(now: number, sent: number): void {
    const elapsed = now - this.#measuredAt;
    if (elapsed < MEASURE_MS) return;
    if (!this.#active) this.#rate = (sent - this.#measuredSent) / elapsed;
    this.#measuredAt = now;
    this.#measuredSent = sent;
  }

  /** From now on {@link allow} limits, until {@link end}. */
  begin(now: number): void {
    this.#active = true;
    this.#allowance = BURST_FRAMES;
    this.#countedAt = now;
  }

  end(): void {
    this.#active = false;
  }

  get active(): boolean {
    return this.#active;
  }

  /** How many of `wanted` frames may go now. */
  allow(now: number, wanted: number): number {
    if (!this.#active) return wanted;
    const rate = Math.max(2 * this.#rate, FLOOR_FRAMES_PER_MS);
    this.#allowance = Math.min(
      this.#allowance + (now - this.#countedAt) * rate,
      Math.max(BURST_FRAMES, rate),
    );
    this.#countedAt = now;
    return Math.min(wanted, Math.floor(this.#allowance));
  }

  spend(frames: number): void {
    this.#allowance -= frames;
  }
}
