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
 * The kernel has no count of that; arrivals.ts bounds it from above.
 */
import type { PortId } from '../frame/types.js';
import { MAX_FRAME_BYTES, MIN_FRAME_BYTES, VNET_HEADER_BYTES } from '../frame/types.js';
import {
  closeFd,
  datagramCost,
  exactDatagramCost,
  isReadable,
  MessageVector,
  readDatagram,
  unixAddress,
  unsentBytes,
} from '../sys/index.js';
import { Arrivals, type Room } from './arrivals.js';
import { BURST, FRAME_OFFSET, type FrameList, type FrameMemory } from './batch.js';
import type { DownEvidence, UpEvidence } from './evidence.js';
import type { KernelEvidence } from './kernel-evidence.js';
import { NOTHING_UNREAD, type Port, type Unread } from './port.js';
import { takenBefore } from './recall.js';
import { Shadow } from './shadow.js';

/** Unread frames the guest may have before it, at most. */
export const WINDOW = 256;
/** So often the guest's end is looked at, in frames sent: one that keeps up is seen empty long before the window is full. */
const LOOK_FRAMES = 64;
/** Sentinels and frames of cookies a guest that reads nothing may have before it. */
const SENTINEL_RESERVE = 128;
/** A queue of so many frames is not filled between two looks at it (100 µs). */
const AMPLE_FRAMES = 1024;
const RESERVE_BYTES = SENTINEL_RESERVE * datagramCost(MIN_FRAME_BYTES);
/** Frames that may be unread, and their bytes at any MTU: room for the shadow. */
const SHADOW_FRAMES = WINDOW + SENTINEL_RESERVE + 64;
const SHADOW_BYTES = 4 * 1024 * 1024;

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
  readonly room: Room;
  /** Our descriptor of the other end of a pair; closed with the port. */
  readonly otherEnd?: number;
  /** Path of the socket that frames go to, when `socket` is no end of a pair. */
  readonly peer?: string;
  /** The pair is in use already, by a hypervisor that may be sending. */
  readonly attached?: boolean;
  /** Default: the real one. */
  readonly kernel?: Pick<KernelEvidence, 'real' | 'unsentBytes'>;
  /** Called when the port is closed. */
  readonly onClose?: () => void;
}

export class DgramPort implements Port {
  readonly kind = 'dgram' as const;
  readonly plain = true;
  readonly id: PortId;
  readonly mtu: number;
  readonly receiveFd: number;
  readonly #parts: DgramPortParts;
  readonly #kernel: Pick<KernelEvidence, 'real' | 'unsentBytes'>;
  readonly #incoming = new MessageVector(BURST, 0);
  readonly #outgoing = new MessageVector(BURST, 0);
  #received = 0;
  readonly #arrivals: Arrivals;
  readonly #shadow = new Shadow(SHADOW_FRAMES, SHADOW_BYTES);
  readonly hasty: boolean;
  /** What one of our short frames costs, exactly; 0 by path, where nothing is ever taken back. */
  readonly #markerCost: number;
  #sentSinceRecall = 0;
  readonly #unread = { frames: 0, bytes: 0 };
  /** How many may be unread before the socket is looked at, though there is room. */
  #nextLook = LOOK_FRAMES;
  #sentinelsUnread = 0;
  #sentinelSent = false;
  /** The sentinel was refused: by path, no socket is there, or none that listens to us. */
  #nobodyThere = false;

  constructor(parts: DgramPortParts) {
    this.#parts = parts;
    this.id = parts.id;
    this.mtu = parts.mtu;
    this.receiveFd = parts.socket;
    this.#kernel = parts.kernel ?? { real: true, unsentBytes };
    const attached = parts.attached === true;
    this.#arrivals = new Arrivals(parts.room, attached);
    this.hasty = parts.room.frames < AMPLE_FRAMES;
    this.#markerCost = parts.otherEnd === undefined ? 0 : exactDatagramCost(MIN_FRAME_BYTES);
    if (attached) {
      this.#unread.frames = WINDOW; // what lies before it is not known, until it is seen empty
      this.#sentinelsUnread = SENTINEL_RESERVE;
    }
    const { arena } = parts.memory;
    for (let i = 0; i < BURST; i++) {
      const frame = arena.address + parts.memory.receiveSlot(i) + FRAME_OFFSET;
      this.#incoming.set(i, frame, frame, MAX_FRAME_BYTES);
    }
    if (parts.peer !== undefined) this.#outgoing.aimAt(unixAddress(parts.peer));
  }

  /** While the way up is in doubt, only an answer of the guest can end the doubt: it is an arrival. */
  get kernelProof(): boolean {
    return this.#kernel.real && !this.#arrivals.mayHaveOverrun;
  }

  receive(list: FrameList): number {
    list.count = 0;
    const count = this.#incoming.receive(this.receiveFd, 0, BURST);
    const { memory } = this.#parts;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const slot = memory.receiveSlot(i);
      memory.bytes.fill(0, slot, slot + VNET_HEADER_BYTES);
      const length = this.#incoming.frameBytes(i);
      list.add(slot, slot + FRAME_OFFSET, this.#incoming.truncated(i) ? 0 : length); // cut off: no frame any more
      bytes += datagramCost(length);
    }
    this.#received += list.count;
    list.full = list.count === BURST;
    this.#arrivals.note(list.count, bytes, count >= 0 && count < BURST);
    return list.count;
  }

  send(list: FrameList, from: number): number {
    if (this.#unread.frames >= this.#nextLook && !this.#allRead()) this.#nextLook += LOOK_FRAMES;
    let allowed = this.#fill(list, from);
    if (allowed === 0) {
      if (!this.#allRead()) return 0;
      allowed = Math.max(1, this.#fill(list, from)); // one that is larger than the buffer goes alone
    }
    return this.#transmit(list, from, from + allowed);
  }

  /** How many frames from `from` on fit into window and buffer. */
  #fill(list: FrameList, from: number): number {
    let frames = WINDOW - this.#unread.frames;
    let bytes = this.#parts.sendBuffer - RESERVE_BYTES - this.#unread.bytes;
    let i = from;
    while (i < list.count) {
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
      this.#sentSinceRecall++;
      this.#shadow.push(this.#parts.memory, list.slot[i]!, list.start[i]!, list.length[i]!);
    }
    return sent;
  }

  #allRead(): boolean {
    if (unsentBytes(this.receiveFd) > 0) return false;
    this.#unread.frames = this.#unread.bytes = 0;
    this.#nextLook = LOOK_FRAMES;
    this.#sentinelsUnread = 0;
    this.#shadow.restart();
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
    this.#allRead(); // the window's own look: a drained port has a whole one again
    return {
      sentinelSent: this.#sentinelSent || this.#nobodyThere, // there is no one who could leave anything unread
      ringEmpty: this.#kernel.unsentBytes(this.receiveFd) === 0,
      sendQueueBytes: 0, // no qdisc on the way: what is sent lies before the reader
      droppedSinceHold: 0, // a datagram socket drops nothing
      cookie: 'unasked',
      recalled: 0,
    };
  }

  /** By path nothing is taken back: it is its owner who stops the machine, or does not. */
  recall(): Unread {
    const { otherEnd } = this.#parts;
    if (otherEnd === undefined) return NOTHING_UNREAD;
    const ring = readOut(otherEnd);
    const taken = ring.length === 0 ? undefined : takenBefore(this.#shadow, ring, () => true);
    if (ring.length > 0) this.#shadow.startBehind(taken);
    this.#allRead();
    this.#sentSinceRecall = 0;
    return { taken, ring };
  }

  /** Since a recall nothing but short frames of ours was sent, each of the same cost. */
  readSinceRecall(): number {
    if (this.#markerCost === 0) return 0;
    return this.#sentSinceRecall - Math.round(unsentBytes(this.receiveFd) / this.#markerCost);
  }

  upEvidence(): UpEvidence {
    return {
      deviceFrames: this.#received, // no device counts them
      receivedFrames: this.#received,
      socketDrops: 0,
      queueEmpty: !isReadable(this.receiveFd),
      mayHaveOverrun: this.#arrivals.mayHaveOverrun,
    };
  }

  close(): void {
    closeFd(this.receiveFd);
    if (this.#parts.otherEnd !== undefined) closeFd(this.#parts.otherEnd);
    this.#shadow.close();
    this.#parts.onClose?.();
  }
}

/** Reads all that lies before the hypervisor, each frame in stored form. */
function readOut(otherEnd: number): Buffer[] {
  const buffer = Buffer.alloc(MAX_FRAME_BYTES);
  const frames: Buffer[] = [];
  for (;;) {
    const length = readDatagram(otherEnd, buffer);
    if (length === 0) return frames;
    frames.push(Buffer.concat([Buffer.alloc(VNET_HEADER_BYTES), buffer.subarray(0, length)]));
  }
}
