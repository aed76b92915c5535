/**
 * Whether a receive queue can have been full, found out without asking the kernel.
 *
 * A queue that is full has, in it, as much as it has room for; and all of that is received afterwards. So as long as
 * everything received since the queue was last seen empty takes less than its room, it was never full, and nothing was
 * turned away. Seen empty: a receive brought fewer frames than it asked for.
 */
import { PAGE_BYTES } from '../sys/index.js';
import { BURST, type FrameList } from './batch.js';

/** Frames shorter than this never touch a page of their own. */
const SMALL_BYTES = 2048;
const SMALL_OVERHEAD_BYTES = 2048;

/**
 * Upper bound of what a frame that was written to a TAP takes of a packet socket's receive buffer (its truesize), bytes.
 *
 * An sk_buff of at most 512 bytes; a head of the linear part with at most 512 bytes before and behind it (headroom,
 * skb_shared_info), which kmalloc rounds up to the next power of two, so at most doubles; and the rest in whole pages,
 * rounded up once (drivers/net/tun.c, tun_build_skb and tun_alloc_skb; net/core/skbuff.c, alloc_skb_with_frags). A clone
 * is charged like its original. Everything that is a factor is applied to the whole length; a small frame has no page.
 */
export const truesizeBound = (length: number): number =>
  2 * length + (length < SMALL_BYTES ? SMALL_OVERHEAD_BYTES : 2 * PAGE_BYTES);

export class Backlog {
  readonly #room: number;
  readonly #costOf: (length: number) => number;
  /** Received since the queue was last seen empty. */
  #received = 0;
  #wasFull = false;

  /** @param room what the queue takes; @param costOf upper bound of what a frame of this length takes of it */
  constructor(room: number, costOf: (length: number) => number) {
    this.#room = room;
    this.#costOf = costOf;
  }

  /** A receive that asked for so many frames brought these. */
  note(list: FrameList, asked = BURST): void {
    for (let i = 0; i < list.count; i++) this.#received += this.#costOf(list.length[i]!);
    if (list.count === asked) return;
    this.#wasFull = this.mayHaveOverrun;
    this.#received = 0;
  }

  /** What overran before a hold is not the cut's loss; but only an empty queue parts before from after. */
  beginHold(isEmpty: boolean): void {
    if (!isEmpty) return;
    this.#received = 0;
    this.#wasFull = false;
  }

  get mayHaveOverrun(): boolean {
    return this.#wasFull || this.#received >= this.#room;
  }
}
