/**
 * What was taken back from one port in one hold, and what becomes of it.
 *
 * What lay in the ring is ours again: it goes to the head of the port's queue, is marked and saved with the rest, and
 * delivered again at the release. The frame the hypervisor had taken is different: of it we have a copy only. Whether
 * the original still exists is seen by what the hypervisor reads after the recall, when nothing but sentinels lies
 * before it:
 *
 *   nothing      it still has the frame: it was not stopped, or not by its hypervisor (its user had paused it). An image
 *                needs the copy, since a hypervisor's queue is saved nowhere; the living network must not deliver it again
 *   one          it was stopped: it threw the frame away and took a sentinel instead. The copy is delivered
 *   more         its guest reads. Seen while all was stopped: it has got the frame from its hypervisor. Seen only at the
 *                release, it may have been stopped first and have begun to read after: then what the order said
 *                decides, and a stopped guest rather gets the frame twice than never
 */
import type { Port } from '../port/port.js';
import type { Egress } from './egress.js';
import type { HeldFrame } from '../hold-queue/queue.js';

export class Recalled {
  /** Frames taken back, sentinels not counted. */
  readonly count: number;
  readonly #port: Port;
  readonly #egress: Egress;
  readonly #stops: boolean;
  /** A copy of the frame the hypervisor had taken stands at the head of the queue. */
  #copied: boolean;
  /** What the hypervisor had read when everything was stopped, as far as that was looked at. */
  #readWhenStopped = 0;
  #marked = false;

  /** Puts `frames` to the head of the port's queue. @param copied the first of them is the hypervisor's */
  constructor(
    { port, egress }: { readonly port: Port; readonly egress: Egress },
    frames: readonly HeldFrame[],
    { copied, stops }: { readonly copied: boolean; readonly stops: boolean },
  ) {
    this.#port = port;
    this.#egress = egress;
    this.#stops = stops;
    this.#copied = copied;
    this.count = frames.length;
    egress.takeBack(frames);
  }

  /** Everything is stopped. The last look counts: a hypervisor reads in place of what it threw away a moment later. */
  whenStopped(): void {
    if (this.#copied && !this.#marked) this.#readWhenStopped = this.#port.readSinceRecall();
  }

  /** Everything is stopped, and about to be marked. */
  beforeMark(): void {
    this.whenStopped();
    this.#marked = true; // from here on guests may run again, one before the other
    if (this.#readWhenStopped > 1) this.#withdraw();
  }

  /** Everything runs again, and is about to get what was held. */
  beforeRelease(): void {
    if (!this.#copied) return;
    const isWithGuest = this.#readWhenStopped === 0 ? this.#hasReadNothing() : this.#readWhenStopped > 1;
    if (!this.#stops || isWithGuest) this.#withdraw();
  }

  #hasReadNothing(): boolean {
    try {
      return this.#port.readSinceRecall() === 0;
    } catch {
      return false; // its device is gone; a release goes on whatever has become of one port
    }
  }

  #withdraw(): void {
    this.#copied = false;
    this.#egress.withdraw();
  }
}
