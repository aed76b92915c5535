/**
 * Virtual time. Everything that happens in the model is an event of this one agenda; between two events every promise
 * of the code under test is let run as far as it goes. So a run is decided by its scenario alone, and may be repeated.
 *
 * Delays come from a seeded generator, by kind: most are short, a few are very long (a starved thread).
 */
import type { Time } from '../../src/quiesce/index.js';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Shortest, usual longest, and seldom longest delay, milliseconds. */
export interface Delay {
  readonly least: number;
  readonly most: number;
  readonly seldom: number;
}

/** Of one in how many draws the seldom delay is. */
const SELDOM = 16;

export class Agenda implements Time {
  #now = 0;
  #order = 0;
  #woken = true;
  #state: number;
  /** A binary heap, earliest first. */
  readonly #events: Event[] = [];

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  readonly now = (): number => this.#now;

  /** The next number of the seeded sequence, 0 to below 1 (mulberry32). */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  delay({ least, most, seldom }: Delay): number {
    const longest = this.random() * SELDOM < 1 ? seldom : most;
    return least + this.random() * Math.max(0, longest - least);
  }

  /** Runs `event` in `ms` from now. */
  in(ms: number, event: () => void): void {
    this.#push({ at: this.#now + Math.max(0, ms), order: this.#order++, run: event });
  }

  /** To be called by an event that settles a promise or aborts a signal: whoever waits for it goes on first. */
  wake(): void {
    this.#woken = true;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.in(ms, () => {
        this.wake();
        resolve();
      });
    });
  }

  pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.wake();
        reject(signal.reason as Error);
      };
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      this.in(ms, () => {
        signal.removeEventListener('abort', abort);
        this.wake();
        resolve();
      });
    });
  }

  /** Lets time pass until `done` or for `ms`; whether it was done. */
  async run(ms: number, done: () => boolean = () => false): Promise<boolean> {
    const end = this.#now + ms;
    for (;;) {
      if (this.#woken) {
        this.#woken = false;
        await new Promise((resolve) => setImmediate(resolve)); // every promise runs as far as it goes
        continue;
      }
      if (done()) return true;
      const next = this.#events[0];
      if (next === undefined || next.at > end) {
        this.#now = end;
        return done();
      }
      this.#pop();
      this.#now = next.at;
      next.run();
    }
  }

  static #before(a: Event, b: Event): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #push(event: Event): void {
    const heap = this.#events;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!Agenda.#before(event, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && Agenda.#before(heap[child + 1]!, heap[child]!)) child++;
      if (!Agenda.#before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
  }
}
