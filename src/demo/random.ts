/** Random moments that a seed brings back. */

/** Mulberry32: 32 bits of state, good enough to choose moments by. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** At least `least`, below `most`. */
  between(least: number, most: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return least + (((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * (most - least);
  }
}
