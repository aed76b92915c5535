/**
 * How much may wait in a port's queue.
 *
 * Outside a hold little: a slow port drops like any switch's. In a hold much, and nothing is dropped: a full queue ends
 * the hold. When it is released, what was held goes out paced, and what comes meanwhile waits behind it; since each that
 * comes lets one go, that is no more than was held. So behind a release as much may wait as the hold had brought, and not
 * without end: a guest that reads nothing would otherwise keep the bounds of a hold for itself for ever, and
 * the next hold would be full when it begins.
 *
 * A guest that does take what it is sent, only more slowly than more of it comes, is given more room until it has caught
 * up: that it is behind is the hold's doing, and guests have least of the processor just after one, when all of them
 * have something to make up for. (Seen: a router of guests, on processors that were taken away, 8,322 frames of 66,862
 * dropped here; in none of its own queues was one.)
 *
 * What leaves the queue is taken to be of the hold as long as anything of it is there; frames that waited before the hold
 * are thereby counted as come later, which errs by the little that may wait outside one.
 */
import type { FrameQueue } from '../hold-queue/queue.js';

/**
 * More than a NIC's transmit queue would hold: under software emulation a guest may get no processor for a quarter of a
 * second, and what it is sent meanwhile should not be lost.
 */
const LIVE_FRAMES = 8192;
const LIVE_BYTES = 32 * 1024 * 1024;
/** The same for a port that is catching up after a release. */
const CATCHING_UP_FRAMES = 4 * LIVE_FRAMES;
const CATCHING_UP_BYTES = 2 * LIVE_BYTES;
/** Brought by one hold; more ends it. */
export const HOLD_QUEUE_FRAMES = 65_536;
export const HOLD_QUEUE_BYTES = 256 * 1024 * 1024;
/** Whatever brought it: so many times that. */
const MOST = 2;

export class Room {
  readonly #queue: FrameQueue;
  /** Put here by holds and still here. */
  #heldFrames = 0;
  #heldBytes = 0;
  /** Put here by the last hold, or the present one. */
  #broughtFrames = 0;
  #broughtBytes = 0;

  constructor(queue: FrameQueue) {
    this.#queue = queue;
  }

  /** How full a hold finds this queue: from 1 on the hold must be ended. */
  get fullness(): number {
    return Math.max(
      this.#broughtFrames / HOLD_QUEUE_FRAMES,
      this.#broughtBytes / HOLD_QUEUE_BYTES,
      this.#inAll / MOST,
    );
  }

  get #inAll(): number {
    return Math.max(this.#queue.length / HOLD_QUEUE_FRAMES, this.#queue.bytes / HOLD_QUEUE_BYTES);
  }

  /** Whether anything that was held lies here still. */
  get holdsOn(): boolean {
    return this.#heldFrames > 0;
  }

  /** Whether one more frame may wait outside a hold. @param catchingUp the port takes frames, and not all since a release */
  admits(catchingUp: boolean): boolean {
    const frames = this.#queue.length - this.#heldFrames;
    const bytes = this.#queue.bytes - this.#heldBytes;
    const behind = this.holdsOn;
    return (
      frames < Math.max(catchingUp ? CATCHING_UP_FRAMES : LIVE_FRAMES, behind ? this.#broughtFrames : 0) &&
      bytes < Math.max(catchingUp ? CATCHING_UP_BYTES : LIVE_BYTES, behind ? this.#broughtBytes : 0) &&
      this.#inAll < MOST
    );
  }

  beginHold(): void {
    this.#broughtFrames = this.#broughtBytes = 0;
  }

  /** A hold has put so much here. */
  brought(frames: number, bytes: number): void {
    this.#broughtFrames += frames;
    this.#broughtBytes += bytes;
    this.#heldFrames += frames;
    this.#heldBytes += bytes;
  }

  /** So much has left the queue. */
  left(frames: number, bytes: number): void {
    this.#heldFrames = Math.max(0, this.#heldFrames - frames);
    this.#heldBytes = this.#heldFrames === 0 ? 0 : Math.max(0, this.#heldBytes - bytes);
  }
}
