/**
 * Recall, as quiesce/channel.ts has it, for a Switch that does not know it.
 *
 * Before the stop the ring is read out through our descriptor until it is empty, and sentinels are put in again; the
 * entry read before the first of them is the one the hypervisor has taken and its guest has not. All go to the head of
 * the port's queue, in order. A hypervisor that is not stopped keeps its entry: only an image gets a copy.
 *
 * What the hypervisor took may still reach the guest before the stop, and a stop that was asked for may not come. So
 * what becomes of that entry is decided in one of two ways:
 *
 *   at once         it is taken to be lost
 *   after the stop  by how many of two sentinels are still unread. One: the entry was purged, and the first sentinel
 *                   read in its place. None: the hypervisor read on, so the entry was delivered. Two, and a sweep has
 *                   come: purged, nothing read since. Two, and the release comes without a sweep: never stopped, the
 *                   hypervisor has it still
 */
import { encodeSentinel } from '../../src/frame/sentinel.js';
import { VNET_HEADER_BYTES, type InflightFrame } from '../../src/frame/types.js';
import type { Tap } from './tap.js';
import { kindOf, type Wire } from './wire.js';

export type Settling = 'atOnce' | 'afterStop';

interface Taken {
  readonly tap: Tap;
  readonly stops: boolean;
  /** What the hypervisor had taken, while nobody knows what became of it. */
  doubtful: Wire | undefined;
  /** Its copy, for an image only. */
  copy: Wire | undefined;
  readonly head: Wire[];
}

const isData = (wire: Wire): boolean => kindOf(wire) === 'data';
const SENTINELS = 2;

export class Recalls {
  readonly #settling: Settling;
  readonly #taken: Taken[] = [];

  constructor(settling: Settling) {
    this.#settling = settling;
  }

  begin(): void {
    this.#taken.length = 0;
  }

  take(tap: Tap, stops: boolean, nonce: Uint8Array): void {
    tap.flush();
    if (tap.ring.length === 0) return; // all was read; the guest only does not answer
    const last = tap.lastRead;
    const head = tap.readOut().filter(isData);
    const first = last !== undefined && isData(last) ? last : undefined;
    const taken: Taken = { tap, stops, doubtful: undefined, copy: undefined, head };
    if (!stops) taken.copy = first;
    else if (this.#settling === 'afterStop') taken.doubtful = first;
    else if (first !== undefined) head.unshift(first);
    this.#taken.push(taken);
    tap.recalled = head.length + (first === undefined ? 0 : 1);
    const sentinel = { vnet: Buffer.alloc(VNET_HEADER_BYTES), bytes: encodeSentinel(nonce) };
    for (let i = 0; i < SENTINELS; i++) tap.put(sentinel);
    tap.flush();
  }

  /** Decides about entries in doubt; `stopped`: it is known that all are. */
  settle(stopped: boolean): void {
    for (const taken of this.#taken) {
      if (taken.doubtful === undefined) continue;
      const unread = taken.tap.ring.length;
      if (unread === 1 || (stopped && unread > 0)) taken.head.unshift(taken.doubtful);
      taken.doubtful = undefined;
    }
  }

  /** The in-flight set with what was taken back at the head of each port's queue. */
  amend(frames: readonly InflightFrame[]): InflightFrame[] {
    let sequence = -this.#taken.reduce((sum, { head }) => sum + head.length + 1, 0);
    const before = this.#taken.flatMap(({ tap, head, copy }) =>
      (copy === undefined ? head : [copy, ...head]).map(({ vnet, bytes }) => ({
        sequence: sequence++,
        timeNs: 0n,
        ingress: '',
        destinations: [tap.id],
        vnet,
        bytes,
      })),
    );
    return [...before, ...frames];
  }

  /** Puts them on their way again, before anything else. */
  end(): void {
    this.settle(false);
    for (const { tap, head } of this.#taken.splice(0)) for (const wire of head) tap.resend(wire);
  }
}
