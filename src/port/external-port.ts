/**
 * A port that leads out of the cut: our end of a veth whose other end is the host's. It is held like any other, but
 * never stopped, so nothing is claimed about frames on its far side. So its frames may come through a ring, which tells less of
 * those it loses than a socket alone (sys/packet-ring.ts).
 */
import type { PortId } from '../frame/types.js';
import type { UpEvidence } from './evidence.js';
import {
  closeFd,
  isReadable,
  linkIndex,
  MessageVector,
  openRingedPacketSocket,
  takePacketDrops,
} from '../sys/index.js';
import { Appetite } from './appetite.js';
import { BURST, type FrameList, type FrameMemory } from './batch.js';
import type { PacketReceiver } from './packet-receiver.js';
import type { Port } from './port.js';
import { RingReceiver } from './ring-receiver.js';
import { RinglessPort } from './ringless-port.js';

const SOCKET_BUFFER_BYTES = 64 * 1024 * 1024;

export interface ExternalPortParts {
  readonly id: PortId;
  /** See {@link Port.mtu}. */
  readonly mtu?: number;
  readonly device: string;
  readonly memory: FrameMemory;
  readonly receiver: PacketReceiver;
}

export class ExternalPort extends RinglessPort implements Port {
  readonly kind = 'external' as const;
  readonly kernelProof = true;
  readonly id: PortId;
  readonly mtu: number | undefined;
  readonly receiveFd: number;
  readonly #parts: ExternalPortParts;
  readonly #appetite = new Appetite();
  readonly #vector = new MessageVector(BURST);
  /** Absent where the kernel gives no ring. */
  readonly #ring: RingReceiver | undefined;
  #received = 0;
  #drops = 0;

  /** The device exists and is up. */
  constructor(parts: ExternalPortParts) {
    super();
    this.#parts = parts;
    this.id = parts.id;
    this.mtu = parts.mtu;
    const { fd, ring } = openRingedPacketSocket(linkIndex(parts.device), SOCKET_BUFFER_BYTES);
    this.receiveFd = fd;
    this.#ring = ring && new RingReceiver(ring, fd, parts.receiver);
  }

  receive(list: FrameList): number {
    const asked = this.#appetite.frames;
    const count = this.#receive(list, asked);
    this.#appetite.note(list, asked);
    this.#received += count;
    return count;
  }

  #receive(list: FrameList, most: number): number {
    if (this.#ring !== undefined) return this.#ring.receive(list, most);
    return this.#parts.receiver.receive(this.receiveFd, list, most);
  }

  send(list: FrameList, from: number): number {
    const base = this.#parts.memory.arena.address;
    for (let i = from; i < list.count; i++) {
      this.#vector.set(i, base + list.slot[i]!, base + list.start[i]!, list.length[i]!);
    }
    return this.#vector.send(this.receiveFd, from, list.count);
  }

  beginHold(): void {
    // Nothing is claimed about an external port.
  }

  upEvidence(): UpEvidence {
    this.#drops += takePacketDrops(this.receiveFd);
    return {
      deviceFrames: this.#received,
      receivedFrames: this.#received,
      socketDrops: this.#drops + (this.#ring?.lost ?? 0),
      queueEmpty: !isReadable(this.receiveFd),
      mayHaveOverrun: true, // the frames come from any driver, and nothing is known of the room they take
    };
  }

  close(): void {
    this.#ring?.close();
    closeFd(this.receiveFd);
  }
}
