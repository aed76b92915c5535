/**
 * The port of a guest: a TAP whose descriptor the hypervisor reads and writes. We sit on the other side, the netdev,
 * with a packet socket, and keep a descriptor of our own.
 *
 *   guest → hypervisor writes the tun fd → netdev → packet socket → receive()
 *   send() → packet socket → netdev → ring → hypervisor reads the tun fd → guest
 *
 * Goal: never lose a frame between us and the guest, and know when all have been read. Invariants:
 * - at most WINDOW unread frames lie in the ring, so that it never overflows and a checkpoint drains quickly. The
 *   number unread is bounded from above: every frame sent counts as if the kernel had segmented it, and the count
 *   returns to zero whenever the ring is seen empty (poll(2) on our descriptor, exact whatever the segmentation);
 * - SENTINEL_RESERVE places stay free for sentinels, however full the window is;
 * - whatever may be unread is in the shadow, so that a recall knows the frame the hypervisor has taken.
 */
import type { PortId } from '../frame/types.js';
import type { DownEvidence, UpEvidence } from './evidence.js';
import {
  closeFd,
  isReadable,
  linkIndex,
  openPacketSocket,
  takesSuperFrames,
  unsentBytes,
  type LinkStatistics,
} from '../sys/index.js';
import { Appetite } from './appetite.js';
import { Backlog, truesizeBound } from './backlog.js';
import { Baseline } from './baseline.js';
import type { FrameList, FrameMemory } from './batch.js';
import { observedKernel, type KernelEvidence } from './kernel-evidence.js';
import type { PacketReceiver } from './packet-receiver.js';
import { aimVector, frameVector } from './packet-sender.js';
import { ringEntries, type Port, type Unread } from './port.js';
import { readOut, takenBefore } from './recall.js';
import { Shadow } from './shadow.js';

/** Unread frames in a ring, at most (of 1000, tun's txqueuelen). */
export const WINDOW = 256;
/** And bytes: room for a window of super-frames of any guest but one with an MTU of tens of thousands. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** So often the ring is looked at, in frames sent: one whose reader keeps up is seen empty long before the window is full. */
const LOOK_FRAMES = 64;
/** Sentinels and frames of cookies a guest that reads nothing may have before it. */
const SENTINEL_RESERVE = 128;
/** Short frames of ours that the shadow has room for beside a full window. */
const SHORT_RESERVE = SENTINEL_RESERVE + 64;
/** How often the ring is read out while the qdisc still has something for it. */
const RECALL_ROUNDS = 100;
/** At once after attaching; the rest of the way to the baseline is made by the looks of each hold. */
const BASELINE_LOOKS = 8;
/** Room for what a guest sends while we serve others; the kernel grants twice as much (socket(7), SO_RCVBUF). */
const SOCKET_BUFFER_BYTES = 64 * 1024 * 1024;

export interface TapPortParts {
  readonly id: PortId;
  /** See {@link Port.mtu}. */
  readonly mtu?: number;
  readonly device: string;
  /** Our descriptor of the TAP; closed with the port. */
  readonly tunFd: number;
  readonly memory: FrameMemory;
  readonly receiver: PacketReceiver;
  readonly statistics: LinkStatistics;
  /** Default: the real one. */
  readonly kernel?: KernelEvidence;
  /** The device is in use already, by a hypervisor that may be sending. */
  readonly attached?: boolean;
}

export class TapPort implements Port {
  readonly kind = 'tap' as const;
  readonly kernelProof: boolean;
  readonly id: PortId;
  readonly mtu: number | undefined;
  readonly receiveFd: number;
  readonly tunFd: number;
  readonly #parts: TapPortParts;
  readonly #kernel: KernelEvidence;
  readonly #appetite = new Appetite();
  readonly #backlog = new Backlog(2 * SOCKET_BUFFER_BYTES, truesizeBound);
  readonly #index: number;
  readonly #vector = frameVector();
  readonly #shadow = new Shadow(WINDOW + SHORT_RESERVE, WINDOW_BYTES);
  #readAtRecall = 0;
  readonly #baseline: Baseline;
  /** Frames that overran the socket before the present hold. */
  #lostBefore = 0;
  #unread = 0;
  #unreadBytes = 0;
  /** How many may be unread before the ring is looked at, though there is room. */
  #nextLook = LOOK_FRAMES;
  #sentinelsUnread = 0;
  #sentinelSent = false;
  #received = 0;
  #socketDrops = 0;
  #droppedAtHold = 0;

  /** The device exists and is up. */
  constructor(parts: TapPortParts) {
    this.#parts = parts;
    this.id = parts.id;
    this.mtu = parts.mtu;
    this.tunFd = parts.tunFd;
    this.#index = linkIndex(parts.device);
    this.#kernel = parts.kernel ?? observedKernel(parts.statistics);
    this.kernelProof = this.#kernel.real;
    const attached = parts.attached === true;
    this.#baseline = new Baseline(attached ? undefined : this.#kernel.counters(this.#index).rxPackets);
    this.receiveFd = openPacketSocket(this.#index, SOCKET_BUFFER_BYTES);
    if (!attached) return;
    this.#unread = WINDOW; // what lies in its ring is not known, until it is seen empty
    this.#sentinelsUnread = SENTINEL_RESERVE;
    for (let i = 0; i < BASELINE_LOOKS; i++) this.#look();
  }

  receive(list: FrameList): number {
    const asked = this.#appetite.frames;
    const count = this.#parts.receiver.receive(this.receiveFd, list, asked);
    this.#appetite.note(list, asked);
    this.#backlog.note(list, asked);
    this.#received += count;
    return count;
  }

  send(list: FrameList, from: number): number {
    if (this.#unread >= this.#nextLook && !this.#ringIsEmpty()) this.#nextLook += LOOK_FRAMES;
    let allowed = this.#fill(list, from);
    if (allowed === 0) {
      if (!this.#ringIsEmpty()) return 0;
      allowed = Math.max(1, this.#fill(list, from)); // a frame of more segments than the window goes alone
    }
    return this.#transmit(list, from, from + allowed);
  }

  /** How many frames from `from` on fit into the window. */
  #fill(list: FrameList, from: number): number {
    const bytes = this.#parts.memory.bytes;
    let room = WINDOW - this.#unread;
    let roomBytes = WINDOW_BYTES - this.#unreadBytes;
    let i = from;
    while (i < list.count) {
      room -= ringEntries(bytes, list.slot[i]!, list.length[i]!);
      roomBytes -= list.length[i]!;
      if (room < 0 || roomBytes < 0) break;
      i++;
    }
    return i - from;
  }

  #transmit(list: FrameList, from: number, to: number): number {
    const { bytes } = this.#parts.memory;
    aimVector(this.#vector, this.#parts.memory, list, from, to);
    const sent = this.#vector.send(this.receiveFd, from, to);
    for (let i = from; i < from + sent; i++) {
      this.#unread += ringEntries(bytes, list.slot[i]!, list.length[i]!);
      this.#unreadBytes += list.length[i]!;
      this.#shadow.push(this.#parts.memory, list.slot[i]!, list.start[i]!, list.length[i]!);
    }
    return sent;
  }

  #ringIsEmpty(): boolean {
    if (isReadable(this.tunFd)) return false;
    this.#unread = this.#unreadBytes = 0;
    this.#nextLook = LOOK_FRAMES;
    this.#sentinelsUnread = 0;
    this.#shadow.restart();
    return true;
  }

  beginHold(): void {
    this.#droppedAtHold = this.#kernel.counters(this.#index).txDropped;
    this.#sentinelSent = false;
    this.#look();
    // What overran the socket earlier is the network's loss and not the cut's: the device counted it, we never had it.
    this.#lostBefore += this.#socketDrops;
    this.#socketDrops = 0;
    this.#backlog.beginHold(!isReadable(this.receiveFd));
  }

  sendSentinel(list: FrameList): boolean {
    const room = this.#sentinelsUnread < SENTINEL_RESERVE || this.#ringIsEmpty();
    this.#sentinelSent = room && this.#transmit(list, 0, 1) === 1;
    if (this.#sentinelSent) this.#sentinelsUnread++;
    return this.#sentinelSent;
  }

  downEvidence(): DownEvidence {
    this.#ringIsEmpty(); // the window's own look: a drained port has a whole one again
    return {
      sentinelSent: this.#sentinelSent,
      sendQueueBytes: this.#kernel.unsentBytes(this.receiveFd), // before the ring: what leaves the qdisc meanwhile is seen there
      ringEmpty: this.#kernel.ringEmpty(this.tunFd),
      droppedSinceHold: this.#kernel.counters(this.#index).txDropped - this.#droppedAtHold,
      cookie: 'unasked',
      recalled: 0,
    };
  }

  recall(): Unread {
    this.#readAtRecall = this.#framesRead(); // a device that is gone is met before anything is taken out of it
    const ring = readOut(this.tunFd);
    for (let round = 0; round < RECALL_ROUNDS && unsentBytes(this.receiveFd) > 0; round++) {
      ring.push(...readOut(this.tunFd));
    }
    const isWhole = (): boolean => takesSuperFrames(this.#parts.device);
    const taken = ring.length === 0 ? undefined : takenBefore(this.#shadow, ring, isWhole);
    if (ring.length > 0) this.#shadow.startBehind(taken);
    this.#ringIsEmpty();
    this.#readAtRecall = this.#framesRead();
    return { taken, ring };
  }

  readSinceRecall(): number {
    return this.#framesRead() - this.#readAtRecall;
  }

  /** The device counts a frame when it is read, by whoever reads. */
  #framesRead(): number {
    return this.#parts.statistics.read(this.#index).txPackets;
  }

  /** Reads the counters of the way up; the device's. It before the socket's, see {@link Baseline}. */
  #look(): number {
    const { rxPackets } = this.#kernel.counters(this.#index);
    const { handed, dropped } = this.#kernel.packetCounts(this.receiveFd);
    this.#socketDrops += dropped;
    this.#baseline.look(rxPackets, handed, this.#received);
    return rxPackets;
  }

  upEvidence(): UpEvidence {
    const counted = this.#look();
    return {
      deviceFrames: counted - this.#baseline.value - this.#lostBefore,
      receivedFrames: this.#received,
      socketDrops: this.#socketDrops,
      queueEmpty: !isReadable(this.receiveFd),
      mayHaveOverrun: this.#backlog.mayHaveOverrun,
    };
  }

  close(): void {
    closeFd(this.receiveFd);
    closeFd(this.tunFd);
    this.#shadow.close();
  }
}
