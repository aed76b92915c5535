/**
 * The way out of a port: frames of the present burst straight from the arena, and the queue of those that could not
 * or must not go yet.
 *
 * Invariant: order per destination. While the queue holds anything, every frame goes to its tail; only an empty
 * queue and a released port let a frame pass directly.
 */
import { EMSGSIZE } from '../sys/index.js';
import { BURST, FRAME_OFFSET, FrameList, type FrameMemory } from '../port/batch.js';
import { removeTag } from '../port/packet-receiver.js';
import type { Port } from '../port/port.js';
import { longestOnWire } from '../frame/segment.js';
import { VNET_HEADER_BYTES, type PortId } from '../frame/types.js';
import * as Row from './counters.js';
import { DROP_REASONS, type DropReason } from './ledger.js';
import type { PortLog } from '../hold-queue/log.js';
import { Pace } from './pace.js';
import { FrameQueue, type HeldFrame } from '../hold-queue/queue.js';
import { Room } from './room.js';
import { isTagged } from './vlan.js';

/** Bursts one port's queue may send in a turn: with fewer, several senders fill it faster than it empties. */
const SERVED_BURSTS = 16;
/** Addresses, tag, EtherType. */
const TAGGED_BYTES = 18;
const TAG_BYTES = 4;
/** A port that takes nothing is asked again after a tenth of the time it has refused, within these bounds. */
const RETRY_MIN_MS = 0.1;
const RETRY_MAX_MS = 50;
/** One that has taken nothing for so long will not: what waits for it is not being delivered any more. */
const STALLED_MS = 1000;

/** Copies a frame of the present burst out of the arena. */
export interface FrameKeeper {
  keep(ingress: PortId, slot: number, start: number, length: number): HeldFrame;
}

export class Egress {
  readonly queue = new FrameQueue();
  readonly pace = new Pace();
  readonly #room = new Room(this.queue);
  /** When the first frame of the queue went out after the last release; undefined until then. */
  firstReleasedAt: number | undefined;
  readonly #pending = new FrameList();
  readonly #port: Port;
  readonly #vlan: number;
  readonly #row: Float64Array;
  readonly #memory: FrameMemory;
  /** Of the queue, in the hold file. */
  readonly #log: PortLog | undefined;
  /** Length of an untagged frame as long as the MTU allows. */
  readonly #longest: number;
  #blockedSince = 0;
  #retryAt = 0;
  #stalled = false;
  /** It has taken a frame that had waited, and not stalled since. */
  #takes = false;

  /** @param vlan the access VLAN whose tag is taken off, 0 for none */
  constructor(port: Port, vlan: number, row: Float64Array, memory: FrameMemory, log?: PortLog) {
    this.#port = port;
    this.#vlan = vlan;
    this.#row = row;
    this.#memory = memory;
    this.#log = log;
    this.#longest = (port.mtu ?? Number.POSITIVE_INFINITY) + TAGGED_BYTES - TAG_BYTES;
  }

  /** Whether frames may be handed to {@link addDirect}: nothing waits, and no tag has to come off. */
  get direct(): boolean {
    return this.queue.length === 0 && this.#vlan === 0;
  }

  /** Adds a frame of the present burst, in the arena. */
  addDirect(slot: number, start: number, length: number): void {
    if (length > this.#longest && this.#isOversize(this.#memory.bytes, slot, start, length)) {
      return this.refuse('oversize');
    }
    this.#row[Row.QUEUED_SWITCHED]!++;
    this.#pending.add(slot, start, length);
  }

  /** Whether a frame, or a segment of it, is longer than the port carries; a tag, which comes off or not, is not counted. */
  #isOversize(bytes: Buffer, header: number, start: number, length: number): boolean {
    const allowed = this.#longest + (isTagged(bytes, start) ? TAG_BYTES : 0);
    return longestOnWire(bytes, header, start, length) > allowed;
  }

  /** How full the hold queue is: from 1 on the hold must be ended. */
  get fullness(): number {
    return this.#room.fullness;
  }

  /** Whether what a hold kept for this port is on its way; not when the port takes nothing. */
  get delivering(): boolean {
    return this.pace.active && this.#room.holdsOn && !this.#stalled;
  }

  /** Whether frames have waited here since a release, and the port takes them. */
  get #catchingUp(): boolean {
    return this.pace.active && this.#takes;
  }

  /** Puts a frame at the tail. Outside a hold one too many is dropped. */
  enqueue(frame: HeldFrame, held: boolean): void {
    this.#row[frame.restored ? Row.QUEUED_RESTORED : Row.QUEUED_SWITCHED]!++;
    const { stored } = frame;
    const length = stored.length - VNET_HEADER_BYTES;
    if (length > this.#longest && this.#isOversize(stored, 0, VNET_HEADER_BYTES, length)) {
      return this.#drop('oversize');
    }
    if (held) this.#room.brought(1, stored.length);
    else if (!this.#room.admits(this.#catchingUp)) return this.#drop('queueFull');
    this.#push(frame);
  }

  #push(frame: HeldFrame): void {
    this.queue.push(frame);
    this.pace.arrived();
    this.#log?.pushed(frame);
    this.#row[Row.HELD] = this.queue.length;
  }

  /** Counts a frame that was for this port and cannot be sent there. */
  refuse(reason: DropReason): void {
    this.#row[Row.QUEUED_SWITCHED]!++;
    this.#drop(reason);
  }

  #drop(reason: DropReason): void {
    this.#row[Row.DROPPED + DROP_REASONS.indexOf(reason)]!++;
  }

  /** Sends the present burst, which came from `ingress`; what the port does not take now is kept in the queue. */
  flush(kept: FrameKeeper, ingress: PortId): void {
    const list = this.#pending;
    if (list.count === 0) return;
    for (let i = this.#transmit(list); i < list.count; i++) {
      this.#push(kept.keep(ingress, list.slot[i]!, list.start[i]!, list.length[i]!));
    }
    list.count = 0;
  }

  /** Sends as much of `list` as the port takes; how many are dealt with. */
  #transmit(list: FrameList): number {
    let i = 0;
    while (i < list.count) {
      const sent = this.#port.send(list, i);
      if (sent === 0) break;
      if (sent < 0) {
        this.#drop(-sent === EMSGSIZE ? 'oversize' : 'refused');
        i++;
        continue;
      }
      for (let k = i; k < i + sent; k++) this.#row[Row.SENT_BYTES]! += list.length[k]!;
      this.#row[Row.SENT]! += sent;
      i += sent;
    }
    return i;
  }

  /** Sends from the head of the queue what it is time for, at most as much as may gather in one turn. */
  serve(now: number): void {
    for (let bursts = 0; bursts < SERVED_BURSTS && this.#serveBurst(now); bursts++);
  }

  /** @returns whether the port took all and more may go */
  #serveBurst(now: number): boolean {
    if (this.queue.length === 0 || now < this.#retryAt) return false;
    const list = this.#pending; // empty between bursts
    const count = this.pace.allow(now, Math.min(BURST, this.queue.length));
    if (count === 0) {
      this.#retryAt = now + RETRY_MIN_MS;
      return false;
    }
    for (let i = 0; i < count; i++) this.#stage(list, i);
    const noted = this.#log?.beginBurst(count) === true;
    const done = this.#transmit(list);
    list.count = 0;
    this.#after(done, count, now);
    if (noted) this.#log.endBurst();
    return done === count;
  }

  #after(done: number, wanted: number, now: number): void {
    if (done > 0) {
      if (this.pace.active) this.firstReleasedAt ??= now;
      this.pace.spend(done);
      this.#shift(done);
      this.#stalled = false;
      this.#takes = true;
    }
    if (this.queue.length === 0) this.pace.end();
    if (done === wanted) this.#blockedSince = this.#retryAt = 0;
    else {
      this.#blockedSince = done > 0 || this.#blockedSince === 0 ? now : this.#blockedSince;
      this.#stalled = now - this.#blockedSince > STALLED_MS;
      if (this.#stalled) this.#takes = false;
      const refused = (now - this.#blockedSince) / 10;
      this.#retryAt = now + Math.min(Math.max(refused, RETRY_MIN_MS), RETRY_MAX_MS);
    }
  }

  #shift(count: number): void {
    this.#log?.shifted(this.queue, count);
    const before = this.queue.bytes;
    this.queue.shift(count);
    this.#room.left(count, before - this.queue.bytes);
    this.#row[Row.HELD] = this.queue.length;
  }

  #stage(list: FrameList, i: number): void {
    const { stored } = this.queue.at(i);
    const slot = this.#memory.stage(i, stored);
    const length = stored.length - VNET_HEADER_BYTES;
    const start = slot + FRAME_OFFSET;
    // Every frame of a VLAN is tagged in here; one that is not comes from an image that somebody made up.
    const tagged = length >= TAGGED_BYTES && isTagged(this.#memory.bytes, start);
    if (this.#vlan === 0 || !tagged) list.add(slot, start, length);
    else list.add(slot, removeTag(this.#memory.bytes, slot, start), length - 4);
  }

  /** When {@link serve} wants to be called, in milliseconds from now; undefined when nothing waits. */
  wantsIn(now: number): number | undefined {
    return this.queue.length === 0 ? undefined : Math.max(0, this.#retryAt - now);
  }

  /** A sentinel behind everything sent. */
  sendSentinel(sentinel: Uint8Array): boolean {
    return this.#sendMarker(sentinel, Row.QUEUED_SENTINELS);
  }

  /** A frame of a cookie behind everything sent. */
  sendCookie(frame: Uint8Array): boolean {
    return this.#sendMarker(frame, Row.QUEUED_COOKIES);
  }

  #sendMarker(marker: Uint8Array, column: number): boolean {
    const slot = this.#memory.stagingSlot(0);
    this.#memory.bytes.fill(0, slot, slot + FRAME_OFFSET);
    this.#memory.bytes.set(marker, slot + FRAME_OFFSET);
    this.#pending.add(slot, slot + FRAME_OFFSET, marker.length);
    const sent = this.#port.sendSentinel(this.#pending);
    this.#pending.count = 0;
    if (sent) {
      this.#row[column]!++;
      this.#row[Row.SENT]!++;
      this.#row[Row.SENT_BYTES]! += marker.length;
    }
    return sent;
  }

  /** Puts frames that had been sent, and were not read, back to the head, in order. */
  takeBack(frames: readonly HeldFrame[]): void {
    this.#row[Row.QUEUED_RECALLED]! += frames.length;
    const kept = this.#log?.moved(frames) ?? frames;
    this.#room.brought(
      kept.length,
      kept.reduce((sum, { stored }) => sum + stored.length, 0),
    );
    this.queue.unshift(kept);
    this.#log?.pushedFront(kept);
    this.#row[Row.HELD] = this.queue.length;
  }

  /** Takes the first of the queue out: the guest, or its hypervisor, has it. */
  withdraw(): void {
    this.#shift(1);
    this.#drop('withGuest');
  }

  /** Drops everything: the port goes away. */
  abandon(): void {
    this.#row[Row.DROPPED + DROP_REASONS.indexOf('portGone')]! += this.queue.length;
    this.#shift(this.queue.length);
  }

  /** A hold has begun: what waits here already goes into the hold file. See {@link PortLog.secure}. */
  secure(moved: Map<HeldFrame, HeldFrame>): void {
    this.#log?.secure(this.queue, moved);
  }

  measure(now: number): void {
    this.pace.measure(now, this.#row[Row.SENT]!);
  }

  beginHold(): void {
    this.#room.beginHold();
  }

  beginRelease(now: number): void {
    this.firstReleasedAt = undefined;
    this.#stalled = false;
    this.#blockedSince = this.#retryAt = 0;
    if (this.queue.length > 0) this.pace.begin(now, this.#cameAt());
  }

  /** Frames per millisecond at which the queue came, by the clock on the wall, which may have been set meanwhile. */
  #cameAt(): number {
    const { queue } = this;
    const spanMs = Number(queue.at(queue.length - 1).timeNs - queue.at(0).timeNs) / 1e6;
    return spanMs > 0 ? queue.length / spanMs : 0;
  }
}
