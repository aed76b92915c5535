/**
 * How many frames a port asks for at a time. Small ones: a whole burst, since each call costs more than a frame.
 * Super-frames: a few, since a burst of them would be larger than the processor's cache, and each would come from memory
 * twice over: measured, half of what 64 of 60 kB cost.
 */
import { BURST, type FrameList } from './batch.js';

/** A burst that stays in any second-level cache. */
const BURST_BYTES = 256 * 1024;
/** So many at least, though they be of 64 kB. */
const FEWEST = 4;

export class Appetite {
  #frames = BURST;

  /** To be asked for next. */
  get frames(): number {
    return this.#frames;
  }

  /** Of so many asked for these came: those that follow will be about as long. */
  note(list: FrameList, asked: number): void {
    list.full = list.count === asked && asked > 1; // where they come singly, one says nothing
    if (list.count === 0) return;
    let bytes = 0;
    for (let i = 0; i < list.count; i++) bytes += list.length[i]!;
    const fitting = Math.floor((BURST_BYTES * list.count) / bytes);
    this.#frames = Math.min(BURST, Math.max(FEWEST, fitting));
  }
}
