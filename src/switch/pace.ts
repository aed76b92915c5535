/**
 * How fast a queue may be emptied after a hold. At full speed a few hundred saved frames overrun the socket buffer
 * of the program in the guest, the sooner the less processor the guest has just now. So every frame that arrives
 * meanwhile lets one go, as it would have done without a queue, and what was held goes beside them: at the rate the
 * port had before the hold, or as fast again as it came during it, within bounds. So a queue that grew for a second is
 * gone in about half a second; however much arrives, it becomes shorter at that rate.
 */
const FLOOR_FRAMES_PER_MS = 8;
/** However fast they came: a burst that came in no time is not to be given in no time. */
const CEILING_FRAMES_PER_MS = 64;
/** Frames that may go at once after a pause. */
const BURST_FRAMES = 64;
/** Arrivals that may be made up for at once: as many as one turn of the switch can bring, and more than a TAP's ring takes. */
const ARRIVALS_FRAMES = 1024;
const MEASURE_MS = 50;

export class Pace {
  #rate = 0; // frames per millisecond, measured
  #measuredAt = 0;
  #measuredSent = 0;
  /** Of what was held. */
  #allowance = 0;
  /** Frames that arrived and have not let one go yet. */
  #arrivals = 0;
  #countedAt = 0;
  #active = false;
  /** Of this release. */
  #pace = FLOOR_FRAMES_PER_MS;

  /** Feeds the measurement: frames sent on the port in all. The rate of a release itself is not learned from. */
  measure(now: number, sent: number): void {
    const elapsed = now - this.#measuredAt;
    if (elapsed < MEASURE_MS) return;
    if (!this.#active) this.#rate = (sent - this.#measuredSent) / elapsed;
    this.#measuredAt = now;
    this.#measuredSent = sent;
  }

  /**
   * From now on {@link allow} limits, until {@link end}.
   * @param came at which what was held came, in frames per millisecond
   */
  begin(now: number, came: number): void {
    const again = Math.min(Math.max(2 * came, FLOOR_FRAMES_PER_MS), CEILING_FRAMES_PER_MS);
    this.#pace = Math.max(this.#rate, again);
    this.#active = true;
    this.#allowance = BURST_FRAMES;
    this.#arrivals = 0;
    this.#countedAt = now;
  }

  end(): void {
    this.#active = false;
  }

  get active(): boolean {
    return this.#active;
  }

  /** A frame was put behind those that were held. */
  arrived(): void {
    if (this.#arrivals < ARRIVALS_FRAMES) this.#arrivals++;
  }

  /** How many of `wanted` frames may go now. */
  allow(now: number, wanted: number): number {
    if (!this.#active) return wanted;
    this.#allowance = Math.min(
      this.#allowance + (now - this.#countedAt) * this.#pace,
      Math.max(BURST_FRAMES, this.#pace),
    );
    this.#countedAt = now;
    return Math.min(wanted, this.#arrivals + Math.floor(this.#allowance));
  }

  spend(frames: number): void {
    const forArrivals = Math.min(frames, this.#arrivals);
    this.#arrivals -= forArrivals;
    this.#allowance -= frames - forArrivals;
  }
}
