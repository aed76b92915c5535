/**
 * Frames that cannot leave at once: copied once out of the arena, in however many queues they lie; numbered by their
 * place among all arrivals; in the hold file during a hold and its release, if there is one; and counted, since a hold
 * may keep only so many.
 */
import { VNET_HEADER_BYTES, type InflightFrame, type PortId } from '../frame/types.js';
import { BURST, type FrameMemory } from '../port/batch.js';
import type { Egress } from './egress.js';
import type { HoldStore } from '../hold-queue/store.js';
import type { Members } from './members.js';
import { PlainCopies } from './plain-copies.js';
import type { HeldFrame } from '../hold-queue/queue.js';

/**
 * Bounds of all hold queues together; more ends the hold as one full queue does. A frame for many counts once. An image
 * takes at least as much (image/inflight.ts).
 */
export const HOLD_FRAMES_IN_ALL = 262_144;
export const HOLD_BYTES_IN_ALL = 768 * 1024 * 1024;

/**
 * The first frame's sequence. Those taken back are older than any frame that was ever queued, and get numbers before it,
 * downwards.
 */
const FIRST_SEQUENCE = 2 ** 40;

export class KeptFrames {
  readonly #memory: FrameMemory;
  readonly #members: Members;
  readonly #wallClock: () => bigint;
  readonly #store: HoldStore | undefined;
  /** Copies made of frames of the present burst, by place. */
  readonly #copies = new Array<HeldFrame | undefined>(BURST);
  #copyCount = 0;
  /** When the present burst came, 0 until somebody asks. */
  #burstTimeNs = 0n;
  readonly #plain: PlainCopies;
  #sequence = FIRST_SEQUENCE;
  #oldestSequence = FIRST_SEQUENCE;
  #held = false;
  /** The fullest hold queue of this hold; see {@link Egress.fullness}. */
  #fullness = 0;
  /** Frames kept since the hold began, and their bytes. */
  #framesInHold = 0;
  #bytesInHold = 0;
  /** A hold has begun, and what waited before it is not in the hold file yet. */
  #toSecure = false;

  constructor(memory: FrameMemory, members: Members, wallClock: () => bigint, store: HoldStore | undefined) {
    this.#memory = memory;
    this.#members = members;
    this.#wallClock = wallClock;
    this.#store = store;
    this.#plain = new PlainCopies(memory);
  }

  /** Nothing may be delivered: whatever comes is kept. */
  get held(): boolean {
    return this.#held;
  }

  /** How full the hold is: from 1 on it must be ended. */
  get fullness(): number {
    return this.#fullness;
  }

  beginHold(): void {
    this.#held = true;
    this.#fullness = this.#framesInHold = this.#bytesInHold = 0;
    this.#store?.begin();
    this.#toSecure = this.#store !== undefined;
  }

  endHold(): void {
    this.#store?.settle();
    this.#held = false;
    this.#fullness = 0;
  }

  /** Moves what waited before the hold into the hold file, before anything else is put there. */
  secure(): void {
    if (!this.#toSecure) return;
    this.#toSecure = false;
    const moved = new Map<HeldFrame, HeldFrame>();
    for (const { egress } of this.#members.all()) egress.secure(moved);
  }

  /** The frame at `place` of a burst just received is dealt with next. */
  reach(place: number): void {
    this.#plain.reach(place);
  }

  /** The burst of `count` frames is over. */
  endBurst(count: number): void {
    if (this.#copyCount > 0) this.#copies.fill(undefined);
    this.#copyCount = 0;
    this.#sequence += count + this.#plain.end();
    this.#burstTimeNs = 0n;
  }

  /** Copies a frame out of the arena into memory of its own, once. Its sequence is its place among all arrivals. */
  keep(ingress: PortId, slot: number, start: number, length: number): HeldFrame {
    const { bytes } = this.#memory;
    const place = this.#memory.receiveIndex(slot);
    const known = this.#copies[place];
    if (known !== undefined) return known;
    this.#store?.settle();
    const sequence = this.#sequenceAt(place);
    const timeNs = this.#arrivalTime();
    const stored = this.#room(sequence, timeNs, ingress, VNET_HEADER_BYTES + length);
    for (let i = 0; i < VNET_HEADER_BYTES; i++) stored[i] = bytes[slot + i]!;
    bytes.copy(stored, VNET_HEADER_BYTES, start, start + length);
    const frame = { sequence, timeNs, ingress, stored, restored: false };
    this.#copyCount++;
    this.#copies[place] = frame;
    this.#count(stored);
    return frame;
  }

  /** Keeps a frame as the plain ones it is made into, once; none when its header lies. */
  keepPlain(ingress: PortId, slot: number, start: number, length: number): readonly HeldFrame[] {
    const place = this.#memory.receiveIndex(slot);
    const before = this.#sequenceAt(place) + 1;
    const timeNs = this.#arrivalTime();
    this.#store?.settle();
    return this.#plain.of(place, [slot, start, length], (made, i) => {
      const sequence = before + i;
      const room = this.#store?.keep(sequence, timeNs, ingress, made.length);
      room?.set(made);
      this.#count(made);
      return { sequence, timeNs, ingress, stored: room ?? made, restored: false };
    });
  }

  /** One for the whole burst: it lay in the socket together. */
  #arrivalTime(): bigint {
    if (this.#burstTimeNs === 0n) this.#burstTimeNs = this.#wallClock();
    return this.#burstTimeNs;
  }

  /** Its place among all arrivals. */
  #sequenceAt(place: number): number {
    return this.#sequence + 1 + place + this.#plain.before(place);
  }

  #count(stored: Uint8Array): void {
    this.#framesInHold++;
    this.#bytesInHold += stored.length;
  }

  /** A frame that an image has brought, kept as the last of all that have come. */
  restored({ timeNs, ingress, vnet, bytes }: Omit<InflightFrame, 'sequence' | 'destinations'>): HeldFrame {
    const sequence = ++this.#sequence;
    const stored = this.#room(sequence, timeNs, ingress, vnet.length + bytes.length);
    stored.set(vnet, 0);
    stored.set(bytes, vnet.length);
    return { sequence, timeNs, ingress, stored, restored: true };
  }

  /** Memory for a frame to be kept: in the hold file during a hold and its release, if there is one. */
  #room(sequence: number, timeNs: bigint, ingress: PortId, bytes: number): Buffer {
    return this.#store?.keep(sequence, timeNs, ingress, bytes) ?? Buffer.allocUnsafe(bytes);
  }

  /** The first of `count` numbers in a row, before every one there was. */
  sequencesBeforeAll(count: number): number {
    this.#oldestSequence -= count;
    return this.#oldestSequence;
  }

  /** Puts a frame that was kept into the queue of one destination. */
  enqueue(egress: Egress, frame: HeldFrame): void {
    egress.enqueue(frame, this.#held);
    if (this.#held) this.noteFullness(egress);
  }

  /** A queue has grown during a hold. */
  noteFullness(egress: Egress): void {
    const inAll = Math.max(this.#framesInHold / HOLD_FRAMES_IN_ALL, this.#bytesInHold / HOLD_BYTES_IN_ALL);
    this.#fullness = Math.max(this.#fullness, egress.fullness, inAll);
  }
}
