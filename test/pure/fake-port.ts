/** A Port without a kernel: frames are handed in and taken out by the test; it can be full, slow or refuse. */
import type { PortId } from '../../src/frame/types.js';
import { VNET_HEADER_BYTES } from '../../src/frame/types.js';
import { BURST, FRAME_OFFSET, type FrameList, type FrameMemory } from '../../src/port/batch.js';
import type { DownEvidence, PortKind, UpEvidence } from '../../src/port/evidence.js';
import { NOTHING_UNREAD, type Port, type Unread } from '../../src/port/port.js';
import { noteSent } from '../../src/sys/index.js';

export interface Wire {
  readonly vnet: Buffer;
  readonly bytes: Buffer;
}

export class FakePort implements Port {
  readonly receiveFd = -1;
  readonly kernelProof = true;
  /** Frames the far side has sent and we have not received. */
  readonly incoming: Wire[] = [];
  /** Frames sent, not yet read by the far side: its ring. */
  ring: Wire[] = [];
  /** Everything the far side has read, in order. */
  readonly delivered: Wire[] = [];
  /** Most frames the ring takes. */
  window = Number.POSITIVE_INFINITY;
  /** Sentinels and frames of cookies it still takes. */
  sentinelRoom = Number.POSITIVE_INFINITY;
  /** Most frames one call of send() takes: a slow port. */
  perSend = Number.POSITIVE_INFINITY;
  /** Errno for a frame that is refused for good, 0 for one that is taken. */
  refuses: (bytes: Buffer) => number = () => 0;
  /** Called in the middle of a burst, behind each frame sent. */
  onSent: () => void = () => undefined;
  /** The most frames that ever lay unread. */
  peak = 0;
  holds = 0;
  closed = false;
  /** Its frames have no virtio-net headers. */
  plain = false;
  mtu: number | undefined;
  /** What the hypervisor of a guest that takes nothing has read. */
  taken: Wire | undefined;
  #received = 0;
  #sentinelSent = false;
  #readSinceRecall = 0;

  constructor(
    readonly id: PortId,
    readonly memory: FrameMemory,
    readonly kind: PortKind = 'tap',
  ) {}

  /** The far side sends. */
  inject(bytes: Buffer, vnet = Buffer.alloc(VNET_HEADER_BYTES)): void {
    this.incoming.push({ vnet, bytes });
  }

  /** The far side reads up to `count` frames. */
  read(count = Number.POSITIVE_INFINITY): Wire[] {
    const read = this.ring.splice(0, Math.min(count, this.ring.length));
    this.delivered.push(...read);
    this.#readSinceRecall += read.length;
    return read;
  }

  /** The hypervisor of a guest that takes nothing reads one frame, and no more as long as it has it. */
  take(): void {
    if (this.taken !== undefined || this.ring.length === 0) return;
    this.taken = this.ring.shift();
    this.#readSinceRecall++;
  }

  /** Such a guest is stopped: what its hypervisor has taken is thrown away, and it takes another. */
  stop(): void {
    this.taken = undefined;
    this.take();
  }

  /** Such a guest begins to read. */
  wake(): void {
    if (this.taken !== undefined) this.delivered.push(this.taken);
    this.taken = undefined;
    this.read();
  }

  recall(): Unread {
    if (this.kind !== 'tap') return NOTHING_UNREAD;
    const stored = ({ vnet, bytes }: Wire): Buffer => Buffer.concat([vnet, bytes]);
    const ring = this.ring.splice(0).map(stored);
    this.#readSinceRecall = 0;
    return { taken: ring.length > 0 && this.taken ? stored(this.taken) : undefined, ring };
  }

  readSinceRecall(): number {
    return this.#readSinceRecall;
  }

  receive(list: FrameList): number {
    const burst = this.incoming.splice(0, BURST);
    list.count = 0;
    for (const [i, { vnet, bytes }] of burst.entries()) {
      const slot = this.memory.receiveSlot(i);
      this.memory.bytes.set(vnet, slot);
      this.memory.bytes.set(bytes, slot + FRAME_OFFSET);
      list.add(slot, slot + FRAME_OFFSET, bytes.length);
    }
    this.#received += burst.length;
    return burst.length;
  }

  #copy(list: FrameList, i: number): Wire {
    const { bytes } = this.memory;
    const slot = list.slot[i]!;
    const start = list.start[i]!;
    return {
      vnet: Buffer.from(bytes.subarray(slot, slot + VNET_HEADER_BYTES)),
      bytes: Buffer.from(bytes.subarray(start, start + list.length[i]!)),
    };
  }

  #put(wire: Wire): void {
    this.ring.push(wire);
    this.peak = Math.max(this.peak, this.ring.length);
  }

  send(list: FrameList, from: number): number {
    const end = Math.min(list.count, from + this.perSend, from + Math.max(0, this.window - this.ring.length));
    for (let i = from; i < end; i++) {
      const wire = this.#copy(list, i);
      const errno = this.refuses(wire.bytes);
      if (errno !== 0) return i > from ? i - from : -errno;
      this.#put(wire);
      noteSent(i);
      this.onSent();
    }
    return Math.max(0, end - from);
  }

  beginHold(): void {
    this.holds++;
    this.#sentinelSent = false;
  }

  sendSentinel(list: FrameList): boolean {
    if (this.kind !== 'tap' || this.sentinelRoom === 0) return false;
    this.sentinelRoom--;
    this.#put(this.#copy(list, 0));
    this.#sentinelSent = true;
    return true;
  }

  downEvidence(): DownEvidence {
    const ringEmpty = this.kind !== 'tap' || this.ring.length === 0;
    return {
      sentinelSent: this.#sentinelSent,
      ringEmpty,
      sendQueueBytes: 0,
      droppedSinceHold: 0,
      cookie: 'unasked',
      recalled: 0,
    };
  }

  upEvidence(): UpEvidence {
    return {
      deviceFrames: this.#received + this.incoming.length,
      receivedFrames: this.#received,
      socketDrops: 0,
      queueEmpty: this.incoming.length === 0,
      mayHaveOverrun: false,
    };
  }

  close(): void {
    this.closed = true;
  }
}
