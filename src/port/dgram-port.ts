/**
 * A port over a unix datagram socket, one plain frame per datagram: for whoever may make no TAP. Its far side is a
 * guest (QEMU's `-netdev dgram`, one end of a socketpair) or, by path, anything that speaks so.
 *
 *   guest → hypervisor send()s → our receive queue → receive()
 *   send() → the hypervisor's receive queue → it reads one and no further while it cannot deliver it → guest
 *
 * Goal: never lose a frame between us and the guest, and know when all have been read.
 *
 * Way down. SIOCOUTQ counts what we have sent and nobody has read, so 0 is the empty ring of a TAP; the sentinels prove
 * the rest, since QEMU reads its socket no further while a frame waits in its own queue (net/dgram.c). As on a TAP at
 * most WINDOW frames lie unread, and never so much that the send buffer has no room left for sentinels.
 *
 * Way up. A datagram socket drops nothing. But a sender that meets a full queue (its send buffer used up, or, by path,
 * more frames than max_dgram_qlen) is told so, and then QEMU keeps the frame in its own queue and loses it at its stop.
 * The kernel has no count of that. So we keep one that bounds it from above: all that was received since our queue was
 * last seen empty. While that is less than what the queue has room for, it cannot have been full meanwhile. If it may
 * have been, the doubt lasts until our queue has been seen empty twice more, with an arrival and no new doubt between:
 * that arrival was sent into a queue with room, and QEMU, having kept a frame back, sends that one first and all others
 * behind it in the same turn (qemu_net_queue_flush), before it could stop.
 */
import type { PortId } from '../frame/types.js';
import { MAX_FRAME_BYTES, MIN_FRAME_BYTES, VNET_HEADER_BYTES } from '../frame/types.js';
import {
  closeFd,
  datagramCost,
  EMSGSIZE,
  isReadable,
  MessageVector,
  unixAddress,
  unsentBytes,
} from '../sys/index.js';
import { BURST, FRAME_OFFSET, type FrameList, type FrameMemory } from './batch.js';
import type { DownEvidence, UpEvidence } from './evidence.js';
import type { Port } from './port.js';

/** Unread frames the guest may have before it, at most. */
export const WINDOW = 256;
/** Sentinels a guest that reads nothing may have before it. */
const SENTINEL_RESERVE = 16;
const RESERVE_BYTES = SENTINEL_RESERVE * datagramCost(MIN_FRAME_BYTES);
/** Ethernet header and one 802.1Q tag: what a frame has beyond its MTU. */
const HEADER_BYTES = 18;

export interface DgramPortParts {
  readonly id: PortId;
  readonly memory: FrameMemory;
  /** Ours; closed with the port. */
  readonly socket: number;
  /** Send buffer of `socket`, bytes. */
  readonly sendBuffer: number;
  /** Bytes, 576..9216. */
  readonly mtu: number;
  /** What our receive queue holds before somebody who sends to it meets a full one. */
  readonly room: { readonly frames: number; readonly bytes: number };
  /** Our descriptor of the other end of a pair; closed with the port. */
  readonly otherEnd?: number;
  /** Path of the socket that frames go to, when `socket` is no end of a pair. */
  readonly peer?: string;
  /** Called when the port is closed. */
  readonly onClose?: () => void;
}

export class DgramPort implements Port {
  readonly kind = 'dgram' as const;
  readonly plain = true;
  readonly id: PortId;
  readonly receiveFd: number;
  readonly #parts: DgramPortParts;
  readonly #incoming = new MessageVector(BURST, 0);
  readonly #outgoing = new MessageVector(BURST, 0);
  #received = 0;
  /** Since our queue was last seen empty. */
  readonly #arrived = { frames: 0, bytes: 0, tooMany: false };
  #mayHaveOverrun = false;
  #unread = { frames: 0, bytes: 0 };
  #sentinelsUnread = 0;
  #sentinelSent = false;
  /** The sentinel was refused: by path, no socket is there, or none that listens to us. */
  #nobodyThere = false;

  constructor(parts: DgramPortParts) {
    this.#parts = parts;
    this.id = parts.id;
    this.receiveFd = parts.socket;
    const { arena } = parts.memory;
    for (let i = 0; i < BURST; i++) {
      const frame = arena.address + parts.memory.receiveSlot(i) + FRAME_OFFSET;
      this.#incoming.set(i, frame, frame, MAX_FRAME_BYTES);
    }
    if (parts.peer !== undefined) this.#outgoing.aimAt(unixAddress(parts.peer));
  }

  /** While the way up is in doubt, only an answer of the guest can end the doubt: it is an arrival. */
  get kernelProof(): boolean {
    return !this.#mayHaveOverrun;
  }

  receive(list: FrameList): number {
    list.count = 0;
    const count = this.#incoming.receive(this.receiveFd, BURST);
    const { memory } = this.#parts;
    for (let i = 0; i < count; i++) {
      const slot = memory.receiveSlot(i);
      memory.bytes.fill(0, slot, slot + VNET_HEADER_BYTES);
      const length = this.#incoming.frameBytes(i);
      list.add(slot, slot + FRAME_OFFSET, this.#incoming.truncated(i) ? 0 : length); // cut off: no frame any more
      this.#arrived.bytes += datagramCost(length);
    }
    this.#judgeArrivals(Math.max(0, count), count >= 0 && count < BURST);
    return list.count;
  }

  /** @param empty the queue was seen empty behind these frames */
  #judgeArrivals(count: number, empty: boolean): void {
    const { room } = this.#parts;
    const arrived = this.#arrived;
    this.#received += count;
    arrived.frames += count;
    if (arrived.frames >= room.frames || arrived.bytes >= room.bytes)
      arrived.tooMany = this.#mayHaveOverrun = true;
    if (!empty) return;
    if (arrived.frames > 0 && !arrived.tooMany) this.#mayHaveOverrun = false;
    arrived.frames = arrived.bytes = 0;
    arrived.tooMany = false;
  }

  send(list: FrameList, from: number): number {
    if (this.#isOversize(list, from)) return -EMSGSIZE;
    let allowed = this.#fill(list, from);
    if (allowed === 0) {
      if (!this.#allRead()) return 0;
      allowed = Math.max(1, this.#fill(list, from)); // one that is larger than the buffer goes alone
    }
    return this.#transmit(list, from, from + allowed);
  }

  /** As a device refuses them; a datagram may be of any length. */
  #isOversize(list: FrameList, i: number): boolean {
    return list.length[i]! > this.#parts.mtu + HEADER_BYTES;
  }

  /** How many frames from `from` on fit into window and buffer. */
  #fill(list: FrameList, from: number): number {
    let frames = WINDOW - this.#unread.frames;
    let bytes = this.#parts.sendBuffer - RESERVE_BYTES - this.#unread.bytes;
    let i = from;
    while (i < list.count && !this.#isOversize(list, i)) {
      frames--;
      bytes -= datagramCost(list.length[i]!);
      if (frames < 0 || bytes < 0) break;
      i++;
    }
    return i - from;
  }

  #transmit(list: FrameList, from: number, to: number): number {
    const base = this.#parts.memory.arena.address;
    for (let i = from; i < to; i++) {
      const frame = base + list.start[i]!;
      this.#outgoing.set(i, frame, frame, list.length[i]!);
    }
    const sent = this.#outgoing.send(this.receiveFd, from, to);
    for (let i = from; i < from + sent; i++) {
      this.#unread.frames++;
      this.#unread.bytes += datagramCost(list.length[i]!);
    }
    return sent;
  }

  #allRead(): boolean {
    if (unsentBytes(this.receiveFd) > 0) return false;
    this.#unread = { frames: 0, bytes: 0 };
    this.#sentinelsUnread = 0;
    return true;
  }

  beginHold(): void {
    this.#sentinelSent = this.#nobodyThere = false;
  }

  sendSentinel(list: FrameList): boolean {
    const room = this.#sentinelsUnread < SENTINEL_RESERVE || this.#allRead();
    const sent = room ? this.#transmit(list, 0, 1) : 0;
    if (sent === 1) this.#sentinelsUnread++;
    this.#nobodyThere = sent < 0;
    this.#sentinelSent = sent === 1;
    return this.#sentinelSent;
  }

  downEvidence(): DownEvidence {
    return {
      sentinelSent: this.#sentinelSent || this.#nobodyThere, // there is no one who could leave anything unread
      ringEmpty: this.#allRead(),
      sendQueueBytes: 0, // no qdisc on the way: what is sent lies before the reader
      droppedSinceHold: 0, // a datagram socket drops nothing
      cookie: 'unasked',
      recalled: 0,
    };
  }

  upEvidence(): UpEvidence {
    return {
      deviceFrames: this.#received, // no device counts them
      receivedFrames: this.#received,
      socketDrops: 0,
      queueEmpty: !isReadable(this.receiveFd),
      mayHaveOverrun: this.#mayHaveOverrun,
    };
  }

  close(): void {
    closeFd(this.receiveFd);
    if (this.#parts.otherEnd !== undefined) closeFd(this.#parts.otherEnd);
    this.#parts.onClose?.();
  }
}
