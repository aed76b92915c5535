/**
 * A port's egress queue: frames that could not or must not be sent yet. During a hold it is the hold queue, and what
 * lies in all of them at the mark is the in-flight set.
 */
import type { PortId } from '../frame/types.js';

/** A frame in our own memory. A flooded one is stored once and lies in the queue of each remaining destination. */
export interface HeldFrame {
  readonly sequence: number;
  readonly timeNs: bigint;
  readonly ingress: PortId;
  /** Virtio-net header, then the frame with its tags. */
  readonly stored: Buffer;
  /** It was brought back from a checkpoint. */
  readonly restored: boolean;
}

export class FrameQueue {
  #frames: HeldFrame[] = [];
  #head = 0;
  #bytes = 0;

  get length(): number {
    return this.#frames.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(frame: HeldFrame): void {
    this.#frames.push(frame);
    this.#bytes += frame.stored.length;
  }

  /** Puts frames before the head, in order. */
  unshift(frames: readonly HeldFrame[]): void {
    this.#frames = [...frames, ...this.frames()];
    this.#head = 0;
    for (const { stored } of frames) this.#bytes += stored.length;
  }

  /** Frame `i` from the head. */
  at(i: number): HeldFrame {
    return this.#frames[this.#head + i]!;
  }

  /** Puts another copy of the same frame in the place of frame `i` from the head. */
  replace(i: number, frame: HeldFrame): void {
    this.#frames[this.#head + i] = frame;
  }

  /** Removes the first `count`. */
  shift(count: number): void {
    for (let i = 0; i < count; i++) this.#bytes -= this.at(i).stored.length;
    this.#head += count;
    if (this.#head > 1024 && this.#head * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#head); // one copy for every 1024 removed
      this.#head = 0;
    }
    if (this.length === 0) {
      this.#frames = [];
      this.#head = 0;
    }
  }

  /** Empties the queue and returns what was in it. */
  clear(): HeldFrame[] {
    const frames = this.frames();
    this.shift(this.length);
    return frames;
  }

  frames(): HeldFrame[] {
    return this.#frames.slice(this.#head);
  }
}
