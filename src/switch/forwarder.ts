/**
 * The way of a burst through the switch, and its hot path: nothing is allocated here for a frame that leaves at once.
 *
 *   for each frame: checked → its VLAN → its station learned → its destinations decided, once and for all
 *     destination free:           added to that port's present burst, no copy
 *     held, or frames before it:  copied once, put into the queue of each such destination
 *     takes plain frames only:    made plain once (segments, checksums); each of these is a frame of its own there
 *   every port's present burst is sent; what a port does not take now is copied to its queue
 */
import { u16 } from '../frame/bytes.js';
import { ETHERTYPE, isMulticast, isReservedMulticast } from '../frame/ethernet.js';
import { isPlain } from '../frame/segment.js';
import { MAX_FRAME_BYTES, MIN_FRAME_BYTES, type PortId } from '../frame/types.js';
import { FrameList, type FrameMemory } from '../port/batch.js';
import { hasRing } from '../port/evidence.js';
import { insertTag } from '../port/packet-receiver.js';
import * as Row from './counters.js';
import type { KeptFrames } from './kept-frames.js';
import { DISCARD_REASONS, type DiscardReason } from './ledger.js';
import { mayBeOurs, type Markers } from './markers.js';
import type { Member, Members } from './members.js';
import { isTagged, RESERVED_VLAN, tagOf, typeOffset, vlanIn } from './vlan.js';

const ETHERNET_HEADER_BYTES = 14;
/** A frame that fills its slot may have been cut by the kernel; and one with a tag put in must still fit an image. */
const LONGEST_BYTES = MAX_FRAME_BYTES - 8;

/** Called for every frame received, before it is switched; the bytes are only valid during the call. */
export type FrameWatcher = (port: PortId, bytes: Uint8Array) => void;

export class Forwarder {
  watcher: FrameWatcher | undefined;
  readonly #memory: FrameMemory;
  readonly #members: Members;
  readonly #kept: KeptFrames;
  readonly #markers: Markers;
  readonly #burst = new FrameList();

  constructor(memory: FrameMemory, members: Members, kept: KeptFrames, markers: Markers) {
    this.#memory = memory;
    this.#members = members;
    this.#kept = kept;
    this.#markers = markers;
  }

  /** Takes one burst from a port and switches it; how many frames, negative when its device is gone. */
  receive(member: Member, now: number): number {
    this.#markers.now = member.segment.table.now = now;
    this.#kept.secure();
    const list = this.#burst;
    const count = member.port.receive(list);
    if (count <= 0) return count;
    for (let i = 0; i < count; i++) {
      this.#kept.reach(i);
      this.#accept(member, list.slot[i]!, list.start[i]!, list.length[i]!);
    }
    for (const { egress } of member.segment.members) egress.flush(this.#kept, member.port.id);
    this.#kept.endBurst(count);
    return count;
  }

  /** More may wait where the last burst came from. */
  get more(): boolean {
    return this.#burst.full;
  }

  #discard(member: Member, reason: DiscardReason): void {
    member.row[Row.DISCARDED + DISCARD_REASONS.indexOf(reason)]!++;
  }

  #accept(member: Member, slot: number, frameStart: number, frameBytes: number): void {
    const { bytes } = this.#memory;
    const { row, segment } = member;
    row[Row.RECEIVED]!++;
    row[Row.RECEIVED_BYTES]! += frameBytes;
    let start = frameStart;
    let length = frameBytes;
    if (this.watcher !== undefined) this.watcher(member.port.id, bytes.subarray(start, start + length));
    if (length < ETHERNET_HEADER_BYTES || length > LONGEST_BYTES || isMulticast(bytes, start + 6))
      return this.#discard(member, 'malformed');
    if (length < MIN_FRAME_BYTES) {
      while (length < MIN_FRAME_BYTES) bytes[start + length++] = 0; // IEEE 802.3: padded by the sender's NIC, were it real
    }

    let vlan = member.vlan;
    const end = start + length;
    const tagged = isTagged(bytes, start);
    const typeAt = typeOffset(start, tagged);
    const type = u16(bytes, typeAt);
    if (mayBeOurs(type) && this.#markers.takes(member.index, bytes, typeAt, end)) {
      return this.#discard(member, 'swallowed');
    }
    if (vlan === 0) vlan = tagged ? vlanIn(bytes, start) : 0;
    else if (tagged) return this.#discard(member, 'vlan');
    else {
      start = insertTag(bytes, slot, start, tagOf(vlan));
      length += 4;
    }
    if (vlan === RESERVED_VLAN) return this.#discard(member, 'vlan');

    segment.table.learn(bytes, start + 6, vlan, member.index);
    if (type === ETHERTYPE.arp && hasRing(member.port.kind)) {
      const tag = member.vlan === 0 ? vlan : 0;
      this.#markers.cookies.learn(member.index, tag, bytes, start + 6, typeAt + 2, end);
    }
    if (segment.dropReserved && isReservedMulticast(bytes, start)) return this.#discard(member, 'reserved');
    const copies = this.#deliver(member, slot, start, length, vlan);
    if (copies === 0) return this.#discard(member, 'nowhere');
    row[Row.SWITCHED]!++;
    row[Row.COPIES]! += copies;
  }

  /** Hands the frame to its destinations; how many copies that makes. */
  #deliver(from: Member, slot: number, start: number, length: number, vlan: number): number {
    const { bytes } = this.#memory;
    const { table, members } = from.segment;
    const known = isMulticast(bytes, start) ? -1 : table.find(bytes, start, vlan);
    if (known >= 0) return this.#deliverTo(this.#members.at(known)!, from, slot, start, length, vlan);
    let copies = 0;
    for (const to of members) copies += this.#deliverTo(to, from, slot, start, length, vlan);
    return copies;
  }

  /** Hands the frame to one port, if it is for it; how many copies that makes. */
  #deliverTo(to: Member, from: Member, slot: number, start: number, length: number, vlan: number): number {
    if (to === from || (to.vlan !== 0 && to.vlan !== vlan)) return 0;
    if (to.port.plain === true && !isPlain(this.#memory.bytes, slot)) {
      return this.#deliverPlain(to, from, slot, start, length);
    }
    if (!this.#kept.held && to.egress.direct) to.egress.addDirect(slot, start, length);
    else this.#kept.enqueue(to.egress, this.#kept.keep(from.port.id, slot, start, length));
    return 1;
  }

  /** Hands a frame to a port that does not take it as it is; how many copies that makes. */
  #deliverPlain({ egress }: Member, from: Member, slot: number, start: number, length: number): number {
    const ingress = from.port.id;
    const frames = this.#kept.keepPlain(ingress, slot, start, length);
    if (frames.length === 0) {
      egress.refuse('offload');
      return 1;
    }
    egress.flush(this.#kept, ingress); // what came before it goes before it
    for (const frame of frames) this.#kept.enqueue(egress, frame);
    return frames.length;
  }
}
