/**
 * Whether guests whose images DMTCP writes together get on. Who is done waits at DMTCP's barrier for the last, so none of
 * them can be judged by its own image: as long as any of all grows, nobody is stuck.
 */
const STALLED_MS = 60_000;
const MOST_OFTEN_MS = 1_000;

export class Progress {
  readonly boundMs: number;
  readonly #bytes = new Map<string, number>();
  #at = performance.now();

  constructor(boundMs = STALLED_MS) {
    this.boundMs = boundMs;
  }

  /** How often it is worth looking. */
  get periodMs(): number {
    return Math.min(MOST_OFTEN_MS, this.boundMs / 4);
  }

  /** Somebody has come further. */
  step(): void {
    this.#at = performance.now();
  }

  /** So many bytes are there of this guest's image. */
  note(guest: string, bytes: number): void {
    if (this.#bytes.get(guest) === bytes) return;
    this.#bytes.set(guest, bytes);
    this.step();
  }

  get stalled(): boolean {
    return performance.now() - this.#at > this.boundMs;
  }
}
