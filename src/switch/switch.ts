/**
 * The learning switch of a network, and the one place where its traffic can be held.
 *
 * Goal: every frame to exactly the ports it is for, in order per destination; on hold nothing is delivered, nothing
 * is lost, and what lies in the queues at the mark is the complete in-flight state.
 *
 * A frame's way:
 *   receive(port): a burst is read from the port
 *     for each frame: checked → its VLAN → its station learned → its destinations decided, once and for all
 *       destination free:           added to that port's present burst, no copy
 *       held, or frames before it:  copied once, put into the queue of each such destination
 *       takes plain frames only:    made plain once (segments, checksums); each of these is a frame of its own there
 *     every port's present burst is sent; what a port does not take now is copied to its queue
 *   serve(): queues go on as far as their ports take frames
 *
 * The class is single-threaded and synchronous: when hold() has returned, nothing more is sent until release(). That
 * is the guarantee the quiesce stands on. Time comes from outside, in milliseconds.
 */
import { StillwireError } from '../errors/index.js';
import { ETHERTYPE, isMulticast, isReservedMulticast } from '../frame/ethernet.js';
import { isPlain } from '../frame/segment.js';
import { encodeSentinel, isSentinel, newNonce } from '../frame/sentinel.js';
import {
  MAX_FRAME_BYTES,
  MIN_FRAME_BYTES,
  VNET_HEADER_BYTES,
  type InflightFrame,
  type PortId,
} from '../frame/types.js';
import { BURST, FRAME_OFFSET, FrameList, FrameMemory } from '../port/batch.js';
import { insertTag } from '../port/packet-receiver.js';
import { hasRing, type DownEvidence, type PortKind, type UpEvidence } from '../port/evidence.js';
import type { Port } from '../port/port.js';
import { Cookies } from './cookies.js';
import * as Row from './counters.js';
import { DISCARD_REASONS, type DiscardReason, type PortLedger } from './ledger.js';
import { Egress } from './egress.js';
import type { HoldStore } from './hold-store.js';
import { MacTable } from './mac-table.js';
import { PlainCopies } from './plain-copies.js';
import type { HeldFrame } from './queue.js';
import { Recalled } from './recall.js';

const ETHERNET_HEADER_BYTES = 14;
/** A frame that fills its slot may have been cut by the kernel; and one with a tag put in must still fit an image. */
const LONGEST_BYTES = MAX_FRAME_BYTES - 8;
const TAG_ETHERTYPE = 0x8100;
const VLAN_ID = 0x0fff;
/** No VLAN: reserved by IEEE 802.1Q, never on a wire. */
const RESERVED_VLAN = 0x0fff;
/**
 * Sentinels in a row. One that is read proves that every frame before it has arrived. But even a guest that takes nothing
 * (no driver, paused by its user) lets its hypervisor read one frame: a second that is read too shows that it takes them.
 */
const SENTINELS = 2;
/**
 * The first frame's sequence. Those taken back are older than any frame that was ever queued, and get numbers before it,
 * downwards.
 */
const FIRST_SEQUENCE = 2 ** 40;
/** Nonces of past holds still recognised: a sentinel may sit for long in the ring of a guest that reads nothing. */
const NONCES_KEPT = 64;
/** Stations a mark takes along; what is left out is flooded for once after a restart. All must fit a manifest. */
const STATIONS_SAVED = 16_384;

/**
 * Bounds of all hold queues together; more ends the hold as one full queue does. A frame for many counts once. An image
 * takes at least as much (image/inflight.ts).
 */
export const HOLD_FRAMES_IN_ALL = 262_144;
export const HOLD_BYTES_IN_ALL = 768 * 1024 * 1024;

export interface SegmentSettings {
  readonly reservedMulticast: 'forward' | 'drop';
  readonly ageingSeconds: number;
}

interface Segment {
  readonly name: string;
  readonly dropReserved: boolean;
  readonly table: MacTable;
  readonly members: Member[];
}

interface Member {
  readonly index: number;
  readonly port: Port;
  readonly segment: Segment;
  /** Access VLAN, 0 when tags pass as they are. */
  readonly vlan: number;
  readonly row: Float64Array;
  readonly egress: Egress;
}

export interface RawEvidence {
  readonly port: PortId;
  readonly kind: PortKind;
  readonly kernelProof: boolean;
  readonly down: DownEvidence;
  readonly up: UpEvidence;
}

export interface StationOnPort {
  readonly segment: string;
  readonly vlan: number;
  readonly mac: string;
  readonly port: PortId;
}

/** Who answers a cookie on a port: an IPv4 address heard speaking for itself, or, without one, an echo agent. */
export interface AddressOnPort {
  readonly port: PortId;
  /** The tag on the port's side, 0 for none. */
  readonly vlan: number;
  readonly ip?: string;
}

/** A port whose unread frames are to be taken back; `stops`: the frame its hypervisor has taken will be purged. */
export interface RecallOrder {
  readonly port: PortId;
  readonly stops: boolean;
}

/** The in-flight set as it was at one moment, pinned in memory while its frames go on their way. */
export interface Mark {
  readonly frames: readonly { readonly frame: HeldFrame; readonly destinations: readonly PortId[] }[];
  readonly ledger: readonly PortLedger[];
  readonly stations: readonly StationOnPort[];
  /** Nonces still recognised. */
  readonly nonces: readonly Uint8Array[];
  readonly cookies: readonly Uint8Array[];
  readonly addresses: readonly AddressOnPort[];
}

/** Called for every frame received, before it is switched; the bytes are only valid during the call. */
export type FrameWatcher = (port: PortId, bytes: Uint8Array) => void;

function putSentinels(egress: Egress, sentinel: Uint8Array): void {
  for (let i = 0; i < SENTINELS && egress.sendSentinel(sentinel); i++);
}

/** A stored frame with the tag that an access port takes off. */
function withTag(stored: Buffer, vlan: number): Buffer {
  const slot = Buffer.alloc(FRAME_OFFSET + stored.length - VNET_HEADER_BYTES);
  stored.copy(slot, 0, 0, VNET_HEADER_BYTES);
  stored.copy(slot, FRAME_OFFSET, VNET_HEADER_BYTES);
  const start = insertTag(slot, 0, FRAME_OFFSET, TAG_ETHERTYPE * 0x10000 + vlan);
  return Buffer.concat([slot.subarray(0, VNET_HEADER_BYTES), slot.subarray(start)]);
}

export class Switch {
  readonly memory: FrameMemory;
  watcher: FrameWatcher | undefined;
  readonly #counters: SharedArrayBuffer;
  readonly #segments = new Map<string, Segment>();
  readonly #members: (Member | undefined)[] = [];
  readonly #byId = new Map<PortId, Member>();
  /** Every port there ever was: a ledger without those that went would not come out. */
  readonly #accounts: { readonly id: PortId; readonly row: Float64Array }[] = [];
  readonly #burst = new FrameList();
  /** Copies made of frames of the present burst, by place: one copy, in however many queues it lies. */
  readonly #kept = new Array<HeldFrame | undefined>(BURST);
  #keptCount = 0;
  readonly #plain: PlainCopies;
  readonly #wallClock: () => bigint;
  readonly #cookies = new Cookies();
  #nonces: Uint8Array[] = [];
  #sequence = FIRST_SEQUENCE;
  #oldestSequence = FIRST_SEQUENCE;
  /** What was taken back in this hold. */
  readonly #recalled = new Map<PortId, Recalled>();
  #held = false;
  /** The fullest hold queue of this hold; see {@link Egress.fullness}. */
  #fullness = 0;
  /** Frames kept since the hold began, and their bytes. */
  #keptInHold = 0;
  #bytesInHold = 0;
  #now = 0;
  readonly #store: HoldStore | undefined;
  /** A hold has begun, and what waited before it is not in the hold file yet. */
  #toSecure = false;

  /**
   * @param store where frames are kept during a hold; absent: in heap memory. The switch closes it.
   * @param memory where frames pass through; mapped for the life of the process, so that tests share one
   */
  constructor(
    counters: SharedArrayBuffer,
    wallClock: () => bigint,
    store?: HoldStore,
    memory = new FrameMemory(),
  ) {
    this.memory = memory;
    this.#plain = new PlainCopies(memory);
    this.#counters = counters;
    this.#wallClock = wallClock;
    this.#store = store;
  }

  get held(): boolean {
    return this.#held;
  }

  /** A hold queue has reached its bound: the hold must be ended, by whoever can resume what is stopped. Nothing is lost. */
  get overflowed(): boolean {
    return this.#fullness >= 1;
  }

  /** A hold queue has reached twice its bound: nobody ended the hold, so the switch has to. */
  get flooded(): boolean {
    return this.#fullness >= 2;
  }

  addSegment(name: string, settings: SegmentSettings): void {
    this.#segments.set(name, {
      name,
      dropReserved: settings.reservedMulticast === 'drop',
      table: new MacTable(settings.ageingSeconds * 1000),
      members: [],
    });
  }

  /** @returns the port's number: its row among the counters */
  addPort(port: Port, segmentName: string, vlan = 0): number {
    const segment = this.#segments.get(segmentName);
    if (segment === undefined) throw new Error(`no segment ${segmentName}`);
    const index = this.#members.length;
    if (index >= Row.MAX_PORTS) {
      throw new StillwireError(
        'USAGE',
        `${port.id}: a network has at most ${Row.MAX_PORTS} ports in its life`,
      );
    }
    const row = Row.counterRow(this.#counters, index);
    const egress = new Egress(port, vlan, row, this.memory, this.#store?.log(port.id));
    const member = { index, port, segment, vlan, row, egress };
    if (!this.#held) this.#store?.settle();
    this.#members.push(member);
    this.#accounts.push({ id: port.id, row });
    this.#byId.set(port.id, member);
    segment.members.push(member);
    return index;
  }

  /** Removes and closes a port; frames queued for it are dropped as `portGone`. */
  removePort(id: PortId): void {
    const member = this.#byId.get(id);
    if (member === undefined) return;
    member.egress.abandon();
    member.segment.table.forgetPort(member.index);
    this.#cookies.forgetPort(member.index);
    member.segment.members.splice(member.segment.members.indexOf(member), 1);
    this.#byId.delete(id);
    this.#recalled.delete(id);
    this.#members[member.index] = undefined;
    member.port.close();
  }

  ports(): Port[] {
    return [...this.#byId.values()].map((member) => member.port);
  }

  /** Takes one burst from port number `index` and switches it; how many frames, negative when its device is gone. */
  receive(index: number, now: number): number {
    const member = this.#members[index];
    if (member === undefined) return 0;
    this.#now = now;
    if (this.#toSecure) this.#secure();
    const list = this.#burst;
    const count = member.port.receive(list);
    if (count <= 0) return count;
    for (let i = 0; i < count; i++) {
      this.#plain.reach(i);
      this.#accept(member, list.slot[i]!, list.start[i]!, list.length[i]!);
    }
    for (const other of member.segment.members) {
      if (other.egress.pending.count > 0) {
        other.egress.flush((slot, start, length) => this.#keep(member, slot, start, length));
      }
    }
    if (this.#keptCount > 0) this.#kept.fill(undefined);
    this.#keptCount = 0;
    this.#sequence += count + this.#plain.end();
    return count;
  }

  #discard(member: Member, reason: DiscardReason): void {
    member.row[Row.DISCARDED + DISCARD_REASONS.indexOf(reason)]!++;
  }

  #accept(member: Member, slot: number, frameStart: number, frameBytes: number): void {
    const { bytes } = this.memory;
    const { row, segment } = member;
    row[Row.RECEIVED]!++;
    row[Row.RECEIVED_BYTES]! += frameBytes;
    let start = frameStart;
    let length = frameBytes;
    if (this.watcher !== undefined) this.watcher(member.port.id, bytes.subarray(start, start + length));
    if (length < ETHERNET_HEADER_BYTES || length > LONGEST_BYTES || isMulticast(bytes, start + 6))
      return this.#discard(member, 'malformed');
    if (length < MIN_FRAME_BYTES) {
      bytes.fill(0, start + length, start + MIN_FRAME_BYTES); // IEEE 802.3: padded by the sender's NIC, were it real
      length = MIN_FRAME_BYTES;
    }

    let vlan = member.vlan;
    const end = start + length;
    const tagged = bytes.readUInt16BE(start + 12) === TAG_ETHERTYPE;
    const typeAt = start + (tagged ? 16 : 12);
    if (
      isSentinel(bytes, typeAt, length, this.#nonces) ||
      this.#cookies.takes(member.index, bytes, typeAt, end, this.#now)
    ) {
      return this.#discard(member, 'swallowed');
    }
    if (vlan === 0) vlan = tagged ? bytes.readUInt16BE(start + 14) & VLAN_ID : 0;
    else if (tagged) return this.#discard(member, 'vlan');
    else {
      start = insertTag(bytes, slot, start, TAG_ETHERTYPE * 0x10000 + vlan);
      length += 4;
    }
    if (vlan === RESERVED_VLAN) return this.#discard(member, 'vlan');

    segment.table.learn(bytes, start + 6, vlan, member.index, this.#now);
    if (bytes.readUInt16BE(typeAt) === ETHERTYPE.arp && hasRing(member.port.kind)) {
      const tag = member.vlan === 0 ? vlan : 0;
      this.#cookies.learn(member.index, tag, bytes, start + 6, typeAt + 2, end);
    }
    if (segment.dropReserved && isReservedMulticast(bytes, start)) return this.#discard(member, 'reserved');
    const copies = this.#deliver(member, slot, start, length, vlan);
    if (copies === 0) return this.#discard(member, 'nowhere');
    row[Row.SWITCHED]!++;
    row[Row.COPIES]! += copies;
  }

  /** Hands the frame to its destinations; how many there are. */
  #deliver(from: Member, slot: number, start: number, length: number, vlan: number): number {
    const { bytes } = this.memory;
    const { table, members } = from.segment;
    const known = isMulticast(bytes, start) ? -1 : table.find(bytes, start, vlan, this.#now);
    if (known === from.index) return 0;
    let copies = 0;
    for (const to of known >= 0 ? [this.#members[known]!] : members) {
      if (to === from || (to.vlan !== 0 && to.vlan !== vlan)) continue;
      if (to.port.plain === true && !isPlain(bytes, slot)) {
        copies += this.#deliverPlain(from, to, slot, start, length);
        continue;
      }
      copies++;
      if (!this.#held && to.egress.direct) to.egress.addDirect(slot, start, length);
      else {
        to.egress.enqueue(this.#keep(from, slot, start, length), this.#held);
        if (this.#held) this.#fullness = Math.max(this.#fullness, to.egress.fullness, this.#fullnessInAll);
      }
    }
    return copies;
  }

  /** Its place among all arrivals. */
  #sequenceAt(place: number): number {
    return this.#sequence + 1 + place + this.#plain.before(place);
  }

  /** Hands a frame to a port that does not take it as it is; how many copies that makes. */
  #deliverPlain(from: Member, { egress }: Member, ...frame: [number, number, number]): number {
    const place = this.memory.receiveIndex(frame[0]);
    const before = this.#sequenceAt(place) + 1;
    const timeNs = this.#wallClock();
    const ingress = from.port.id;
    this.#store?.settle();
    const frames = this.#plain.of(place, frame, (made, i) => {
      const sequence = before + i;
      const room = this.#store?.keep(sequence, timeNs, ingress, made.length);
      room?.set(made);
      this.#keptInHold++;
      this.#bytesInHold += made.length;
      return { sequence, timeNs, ingress, stored: room ?? made, restored: false };
    });
    if (frames.length === 0) {
      egress.refuse('offload');
      return 1;
    }
    egress.flush((...earlier) => this.#keep(from, ...earlier)); // what came before it goes before it
    for (const each of frames) egress.enqueue(each, this.#held);
    if (this.#held) this.#fullness = Math.max(this.#fullness, egress.fullness, this.#fullnessInAll);
    return frames.length;
  }

  /** Copies a frame out of the arena into memory of its own, once. Its sequence is its place among all arrivals. */
  #keep(from: Member, slot: number, start: number, length: number): HeldFrame {
    const { bytes } = this.memory;
    const place = this.memory.receiveIndex(slot);
    const known = this.#kept[place];
    if (known !== undefined) return known;
    this.#store?.settle();
    const sequence = this.#sequenceAt(place);
    const timeNs = this.#wallClock();
    const stored = this.#room(sequence, timeNs, from.port.id, VNET_HEADER_BYTES + length);
    bytes.copy(stored, 0, slot, slot + VNET_HEADER_BYTES);
    bytes.copy(stored, VNET_HEADER_BYTES, start, start + length);
    const frame = { sequence, timeNs, ingress: from.port.id, stored, restored: false };
    this.#keptCount++;
    this.#kept[place] = frame;
    this.#keptInHold++;
    this.#bytesInHold += stored.length;
    return frame;
  }

  get #fullnessInAll(): number {
    return Math.max(this.#keptInHold / HOLD_FRAMES_IN_ALL, this.#bytesInHold / HOLD_BYTES_IN_ALL);
  }

  /** Memory for a frame to be kept: in the hold file during a hold and its release, if there is one. */
  #room(sequence: number, timeNs: bigint, ingress: PortId, bytes: number): Buffer {
    return this.#store?.keep(sequence, timeNs, ingress, bytes) ?? Buffer.allocUnsafe(bytes);
  }

  /** Moves what waited before the hold into the hold file, before anything else is put there. */
  #secure(): void {
    this.#toSecure = false;
    const moved = new Map<HeldFrame, HeldFrame>();
    for (const { egress } of this.#byId.values()) egress.secure(moved);
  }

  /** Why frames held now would not survive the process; told once per hold. */
  takeFault(): string | undefined {
    return this.#store?.takeFault();
  }

  /** Lets queues go on. @returns milliseconds until this wants to be called again, undefined when nothing waits */
  serve(now: number): number | undefined {
    if (this.#toSecure) this.#secure();
    if (this.#held) return undefined;
    let next = this.#store?.collect();
    let releasing = false;
    for (const member of this.#members) {
      if (member === undefined) continue;
      member.egress.serve(now);
      member.egress.measure(now);
      releasing ||= member.egress.pace.active;
      const wanted = member.egress.wantsIn(now);
      if (wanted !== undefined) next = Math.min(next ?? wanted, wanted);
    }
    if (!releasing) this.#store?.end();
    return next;
  }

  /** Stops all delivery. When this returns, no frame is sent before {@link release}. */
  hold(): void {
    for (const { port } of this.#byId.values()) port.beginHold(); // may throw; then there is no hold
    this.#cookies.beginHold();
    this.#held = true;
    this.#fullness = this.#keptInHold = this.#bytesInHold = 0;
    this.#recalled.clear();
    this.#store?.begin();
    this.#toSecure = this.#store !== undefined;
  }

  /** Puts the sentinels behind the last frame sent on each port that needs them. */
  sendSentinels(nonce: Uint8Array): void {
    this.recognise([nonce]);
    const sentinel = encodeSentinel(nonce);
    for (const { egress } of this.#byId.values()) putSentinels(egress, sentinel);
  }

  /**
   * Takes back what these ports' guests have not read: to the head of their queues, for it is older than all in them.
   * Sentinels take its place in the ring, so that what a hypervisor reads at its stop is one of them.
   */
  recall(orders: readonly RecallOrder[], now: number): void {
    for (const { port: id, stops } of orders) {
      const member = this.#byId.get(id);
      if (member === undefined || this.#recalled.has(id)) continue; // once in a hold: nothing was sent since
      const { taken, ring } = member.port.recall();
      const isFrame = (stored: Buffer): boolean => !this.#isMarker(stored, VNET_HEADER_BYTES);
      const copied = taken !== undefined && isFrame(taken);
      const unread = [...(copied ? [taken] : []), ...ring.filter(isFrame)];
      this.#oldestSequence -= unread.length;
      const frames = unread.map((stored, i) => this.#asHeld(member, stored, this.#oldestSequence + i, now));
      this.#recalled.set(id, new Recalled(member, frames, { copied, stops }));
      this.#fullness = Math.max(this.#fullness, member.egress.fullness);
      if (ring.length > 0) putSentinels(member.egress, encodeSentinel(this.#nonces[0] ?? this.#newNonce()));
    }
  }

  /** Puts a cookie behind the last frame sent on each of these ports (absent: on all) where frames can lie. */
  sendCookies(nonce: Uint8Array, now: number, ports?: readonly PortId[]): void {
    this.#cookies.recognise([nonce]);
    for (const member of this.#byId.values()) {
      const { id, kind } = member.port;
      if (!hasRing(kind) || ports?.includes(id) === false) continue;
      this.#cookies.ask(member.index, nonce, now);
      this.#sendCookie(member);
    }
  }

  #sendCookie({ index, egress }: Member): void {
    this.#cookies.send(index, (frame) => egress.sendCookie(frame));
  }

  /** Swallows cookies with these nonces and what answers them from now on; and knows who answers. */
  recogniseCookies(nonces: readonly Uint8Array[], addresses: readonly AddressOnPort[], now: number): void {
    this.#cookies.recognise(nonces);
    for (const { port, ...answerer } of addresses) {
      const member = this.#byId.get(port);
      if (member !== undefined) this.#cookies.addresses.restore({ ...answerer, port: member.index }, now);
    }
  }

  #newNonce(): Uint8Array {
    const nonce = newNonce();
    this.recognise([nonce]);
    return nonce;
  }

  /** A frame as it was sent on a port, as it lies in queues: with the port's tag. Whence it came is known by its station. */
  #asHeld({ port, vlan, segment }: Member, sent: Buffer, sequence: number, now: number): HeldFrame {
    const stored = vlan === 0 ? sent : withTag(sent, vlan);
    const tagged = stored.readUInt16BE(VNET_HEADER_BYTES + 12) === TAG_ETHERTYPE;
    const inVlan = tagged ? stored.readUInt16BE(VNET_HEADER_BYTES + 14) & VLAN_ID : 0;
    const from = segment.table.find(stored, VNET_HEADER_BYTES + 6, inVlan, now);
    const ingress = this.#members[from]?.port.id ?? port.id;
    return { sequence, timeNs: this.#wallClock(), ingress, stored, restored: false };
  }

  /** Whether a frame at `start` is one of our own, that no guest has sent. */
  #isMarker(bytes: Buffer, start: number): boolean {
    const tagged = bytes.readUInt16BE(start + 12) === TAG_ETHERTYPE;
    const typeAt = start + (tagged ? 16 : 12);
    if (isSentinel(bytes, typeAt, bytes.length - start, this.#nonces)) return true;
    return this.#cookies.isMarker(bytes, typeAt, bytes.length);
  }

  /** Swallows sentinels with these nonces from now on. */
  recognise(nonces: readonly Uint8Array[]): void {
    this.#nonces = [...nonces, ...this.#nonces].slice(0, NONCES_KEPT);
  }

  /** Receives on every port until nothing waits (bounded: a guest still running could go on for ever). */
  sweep(now: number): void {
    this.#cookies.endSending();
    for (const recalled of this.#recalled.values()) recalled.whenStopped();
    for (const { index } of this.#byId.values()) {
      for (let rounds = 0; rounds < 10_000 && !this.overflowed && this.receive(index, now) > 0; rounds++);
    }
  }

  /** What can be observed at every port now. */
  evidence(): RawEvidence[] {
    return [...this.#byId.values()].map((member) => {
      const { port, index } = member;
      this.#sendCookie(member); // what the port had no room for
      const recalled = this.#recalled.get(port.id)?.count ?? 0;
      return {
        port: port.id,
        kind: port.kind,
        kernelProof: port.kernelProof,
        down: { ...port.downEvidence(), cookie: this.#cookies.state(index), recalled },
        up: port.upEvidence(),
      };
    });
  }

  /** Pins the in-flight set: what lies in the queues now, in order of arrival. */
  mark(now: number): Mark {
    for (const recalled of this.#recalled.values()) recalled.beforeMark();
    const destinations = new Map<HeldFrame, PortId[]>();
    for (const { port, egress } of this.#byId.values()) {
      for (const frame of egress.queue.frames()) {
        const known = destinations.get(frame);
        if (known === undefined) destinations.set(frame, [port.id]);
        else known.push(port.id);
      }
    }
    const frames = [...destinations].map(([frame, ports]) => ({ frame, destinations: ports }));
    frames.sort((a, b) => a.frame.sequence - b.frame.sequence);
    this.#store?.pin(destinations.keys());
    return {
      frames,
      ledger: this.ledger(),
      stations: this.stations(now, Math.floor(STATIONS_SAVED / Math.max(1, this.#byId.size))),
      nonces: this.#nonces,
      cookies: this.#cookies.nonces,
      addresses: this.#cookies.addresses
        .answerers(now)
        .map((answerer) => ({ ...answerer, port: this.#members[answerer.port]!.port.id })),
    };
  }

  /** Lets the frames of a mark go. */
  unpin(mark: Mark): void {
    this.#store?.unpin(mark.frames.map(({ frame }) => frame));
  }

  /** Puts saved frames into the queues of their destinations, in order, while held. Unknown destinations are ignored. */
  restore(frames: readonly InflightFrame[]): void {
    if (this.#toSecure) this.#secure();
    for (const { timeNs, ingress, vnet, bytes, destinations } of frames) {
      const sequence = ++this.#sequence;
      const stored = this.#room(sequence, timeNs, ingress, vnet.length + bytes.length);
      stored.set(vnet, 0);
      stored.set(bytes, vnet.length);
      const frame = { sequence, timeNs, ingress, stored, restored: true };
      for (const id of destinations) this.#byId.get(id)?.egress.enqueue(frame, this.#held);
    }
    this.#store?.settle();
  }

  /** Resumes delivery: what was held first, paced. */
  release(now: number): void {
    for (const recalled of this.#recalled.values()) recalled.beforeRelease();
    this.#recalled.clear();
    this.#store?.settle();
    this.#held = false;
    this.#fullness = 0;
    for (const { egress } of this.#byId.values()) egress.beginRelease(now);
  }

  /**
   * How the last release went: when its first frame left on the last port that had any, or undefined while one of
   * them still waits; and whether every queue has run empty.
   */
  releaseProgress(): { lastPortStartedAt: number | undefined; drained: boolean } {
    const members = [...this.#byId.values()];
    const waiting = members.some(({ egress }) => egress.pace.active && egress.firstReleasedAt === undefined);
    const times = members.flatMap(({ egress }) => egress.firstReleasedAt ?? []);
    return {
      lastPortStartedAt: waiting || times.length === 0 ? undefined : Math.max(...times),
      drained: members.every(({ egress }) => !egress.pace.active),
    };
  }

  ledger(): PortLedger[] {
    return this.#accounts.map(({ id, row }) => Row.readLedger(id, row));
  }

  /** @param most stations of one port, the last heard of them */
  stations(now: number, most?: number): StationOnPort[] {
    return [...this.#segments.values()].flatMap(({ name, table }) =>
      table.stations(now, most).map(({ vlan, mac, port }) => ({
        segment: name,
        vlan,
        mac,
        port: this.#members[port]!.port.id,
      })),
    );
  }

  /** Teaches the tables what a checkpoint knew. */
  learnStations(stations: readonly StationOnPort[], now: number): void {
    for (const { segment, vlan, mac, port } of stations) {
      const member = this.#byId.get(port);
      if (member === undefined) continue;
      const bytes = Buffer.from(mac.replaceAll(':', ''), 'hex');
      this.#segments.get(segment)?.table.learn(bytes, 0, vlan, member.index, now);
    }
  }

  close(): void {
    for (const id of [...this.#byId.keys()]) this.removePort(id);
    this.#store?.close();
  }

  /** Closes everything as a crash would: what is held stays in the hold file. */
  leave(): void {
    for (const port of this.ports()) port.close();
    this.#store?.leave();
  }
}
