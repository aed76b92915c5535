/**
 * Taking back, in a hold, what the guests of some ports have not read: to the head of their queues, for it is older than
 * all in them. Sentinels take its place in the ring, so that what a hypervisor reads at its stop is one of them. What
 * becomes of it is told in recalled.ts.
 */
import { VNET_HEADER_BYTES, type PortId } from '../frame/types.js';
import { FRAME_OFFSET } from '../port/batch.js';
import { insertTag } from '../port/packet-receiver.js';
import type { KeptFrames } from './kept-frames.js';
import type { Markers } from './markers.js';
import type { Member, Members } from './members.js';
import type { HeldFrame } from '../hold-queue/queue.js';
import { Recalled } from './recalled.js';
import { isTagged, tagOf, vlanIn } from './vlan.js';

/** A port whose unread frames are to be taken back; `stops`: the frame its hypervisor has taken will be purged. */
export interface RecallOrder {
  readonly port: PortId;
  readonly stops: boolean;
}

/** A stored frame with the tag that an access port takes off. */
function withTag(stored: Buffer, vlan: number): Buffer {
  const slot = Buffer.alloc(FRAME_OFFSET + stored.length - VNET_HEADER_BYTES);
  stored.copy(slot, 0, 0, VNET_HEADER_BYTES);
  stored.copy(slot, FRAME_OFFSET, VNET_HEADER_BYTES);
  const start = insertTag(slot, 0, FRAME_OFFSET, tagOf(vlan));
  return Buffer.concat([slot.subarray(0, VNET_HEADER_BYTES), slot.subarray(start)]);
}

/** What was taken back in one hold. */
export class Recalls {
  readonly #members: Members;
  readonly #markers: Markers;
  readonly #kept: KeptFrames;
  readonly #wallClock: () => bigint;
  readonly #recalled = new Map<PortId, Recalled>();

  constructor(members: Members, markers: Markers, kept: KeptFrames, wallClock: () => bigint) {
    this.#members = members;
    this.#markers = markers;
    this.#kept = kept;
    this.#wallClock = wallClock;
  }

  recall(orders: readonly RecallOrder[], now: number): void {
    for (const { port: id, stops } of orders) {
      const member = this.#members.get(id);
      if (member === undefined || this.#recalled.has(id)) continue; // once in a hold: nothing was sent since
      const { taken, ring } = member.port.recall();
      const isFrame = (stored: Buffer): boolean => !this.#markers.isMarker(stored, VNET_HEADER_BYTES);
      const copied = taken !== undefined && isFrame(taken);
      const unread = [...(copied ? [taken] : []), ...ring.filter(isFrame)];
      const first = this.#kept.sequencesBeforeAll(unread.length);
      const frames = unread.map((stored, i) => this.#asHeld(member, stored, first + i, now));
      this.#recalled.set(id, new Recalled(member, frames, { copied, stops }));
      this.#kept.noteFullness(member.egress);
      if (ring.length > 0) this.#markers.putSentinels(member.egress);
    }
  }

  /** A frame as it was sent on a port, as it lies in queues: with the port's tag. Whence it came is known by its station. */
  #asHeld({ port, vlan, segment }: Member, sent: Buffer, sequence: number, now: number): HeldFrame {
    const stored = vlan === 0 ? sent : withTag(sent, vlan);
    const inVlan = isTagged(stored, VNET_HEADER_BYTES) ? vlanIn(stored, VNET_HEADER_BYTES) : 0;
    segment.table.now = now;
    const from = segment.table.find(stored, VNET_HEADER_BYTES + 6, inVlan);
    const ingress = this.#members.at(from)?.port.id ?? port.id;
    return { sequence, timeNs: this.#wallClock(), ingress, stored, restored: false };
  }

  /** Frames taken back from a port in this hold. */
  countOf(id: PortId): number {
    return this.#recalled.get(id)?.count ?? 0;
  }

  forgetPort(id: PortId): void {
    this.#recalled.delete(id);
  }

  beginHold(): void {
    this.#recalled.clear();
  }

  /** Everything is stopped. */
  whenStopped(): void {
    for (const recalled of this.#recalled.values()) recalled.whenStopped();
  }

  /** Everything is stopped, and about to be marked. */
  beforeMark(): void {
    for (const recalled of this.#recalled.values()) recalled.beforeMark();
  }

  /** Everything runs again, and is about to get what was held. */
  beforeRelease(): void {
    for (const recalled of this.#recalled.values()) recalled.beforeRelease();
    this.#recalled.clear();
  }
}
