/**
 * Who sent what, and what became of it: the judge of a run. It looks at guests' memories, at what the image holds and
 * at what the kernel dropped, never at the code under test.
 *
 * For a cut, over every pair of guests: what one has received from the other, then what is in flight between them, then
 * what the sender had not yet sent, is exactly what the sender's memory says it has sent, in that order. One segment
 * too many is an orphan or doubled, one too few is lost. For a network at rest: the same with nothing in flight.
 */
import { ALL, MOST_SEGMENTS, type DataFrame } from './wire.js';

export class Violation extends Error {}

/** A guest as the account sees it: in a network or in an image. */
export interface Memory {
  readonly number: number;
  readonly sent: readonly number[];
  readonly got: readonly number[];
  /** Segments in its transmit ring. */
  readonly unsent: readonly number[];
  /** Nobody will go on from this memory: it is only known as a sender. */
  readonly ended: boolean;
}

export interface Terms {
  /** In flight to a guest, in order. */
  readonly inflight: (guest: number) => readonly number[];
  /** Guests towards whom the method promises nothing: what is missing there is no fault. */
  readonly lossy: ReadonlySet<number>;
  /** A segment dropped by the kernel at this time or later is a fault too. */
  readonly provenSince: number;
}

export class Account {
  /** Segments that found a receive queue full, and when. */
  readonly dropped = new Map<number, number>();
  readonly #frames: DataFrame[] = [];
  faults: string[] = [];

  /** Enters a new frame. */
  frame(from: number, to: number, segments: number, asks: boolean): DataFrame {
    const frame = { number: this.#frames.length, from, to, segments, asks };
    this.#frames.push(frame);
    return frame;
  }

  get size(): number {
    return this.#frames.length;
  }

  #of(unit: number): DataFrame {
    return this.#frames[Math.floor(unit / MOST_SEGMENTS)]!;
  }

  #between(units: readonly number[], from: number, to: number): number[] {
    return units.filter((unit) => {
      const frame = this.#of(unit);
      return frame.from === from && from !== to && (frame.to === ALL || frame.to === to);
    });
  }

  fault(text: string): void {
    this.faults.push(text);
  }

  check(where: string, memories: readonly Memory[], terms: Terms): void {
    for (const to of memories) {
      if (to.ended) continue;
      for (const from of memories) {
        if (from !== to) this.#checkPair(`${where}, ${from.number} to ${to.number}`, from, to, terms);
      }
    }
  }

  #checkPair(where: string, from: Memory, to: Memory, { inflight, lossy, provenSince }: Terms): void {
    const pick = (units: readonly number[]): number[] => this.#between(units, from.number, to.number);
    const unsent = pick(from.unsent);
    const arrived = [...pick(to.got), ...pick(inflight(to.number))];
    const actual = from.ended ? arrived : [...arrived, ...unsent];
    const excused = (unit: number): boolean => {
      const at = this.dropped.get(unit);
      return (at !== undefined && at < provenSince) || (from.ended && unsent.includes(unit));
    };
    const expected = pick(from.sent).filter((unit) => !excused(unit));
    const known = new Set(expected);
    const seen = new Set<number>();
    for (const unit of actual) {
      if (!known.has(unit)) this.fault(`${where}: orphan ${unit}, received or in flight and never sent`);
      if (seen.has(unit)) this.fault(`${where}: ${unit} doubled`);
      seen.add(unit);
    }
    const present = expected.filter((unit) => seen.has(unit));
    if (!lossy.has(to.number)) {
      for (const unit of expected) if (!seen.has(unit)) this.fault(`${where}: ${unit} lost`);
    }
    const first = [...seen].filter((unit) => known.has(unit));
    if (first.some((unit, i) => unit !== present[i])) this.fault(`${where}: order ${first.join()}`);
  }

  /** @throws Violation */
  demand(): void {
    if (this.faults.length > 0) throw new Violation(this.faults.slice(0, 4).join('; '));
  }
}
