/**
 * What frames of the present burst become for ports that take plain frames only: made once, however many such ports
 * there are, and each a frame of its own from then on. Their sequences follow that of the frame they were made of, so
 * the frames behind it in the burst move on by as many.
 */
import { toPlain } from '../frame/segment.js';
import { BURST, type FrameMemory } from '../port/batch.js';
import type { HeldFrame } from '../hold-queue/queue.js';

export class PlainCopies {
  readonly #memory: FrameMemory;
  readonly #made = new Map<number, readonly HeldFrame[]>();
  /** By place in the burst: copies made of those before. */
  readonly #before = new Int32Array(BURST);
  #count = 0;

  constructor(memory: FrameMemory) {
    this.#memory = memory;
  }

  /** The frame at this place of the burst is dealt with next. */
  reach(place: number): void {
    this.#before[place] = this.#count;
  }

  /** How many sequences copies of frames before this place have taken. */
  before(place: number): number {
    return this.#before[place]!;
  }

  /**
   * The frame at `place` as plain ones; none when its header lies.
   * @param keep makes frame `i` of them
   */
  of(
    place: number,
    [slot, start, length]: readonly [number, number, number],
    keep: (stored: Buffer, i: number) => HeldFrame,
  ): readonly HeldFrame[] {
    const known = this.#made.get(place);
    if (known !== undefined) return known;
    const made = (toPlain(this.#memory.bytes, slot, start, length) ?? []).map(keep);
    this.#count += made.length;
    this.#made.set(place, made);
    return made;
  }

  /** Ends the burst; how many sequences its copies took. */
  end(): number {
    const count = this.#count;
    if (this.#made.size > 0) this.#made.clear();
    this.#count = 0;
    return count;
  }
}
