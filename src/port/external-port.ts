/**
 * A port that leads out of the cut: our end of a veth whose other end is the host's. It is held like any other, but
 * never stopped, so nothing is claimed about frames on its far side. So its frames may come through a ring, which tells less of
 * those it loses than a socket alone (sys/packet-ring.ts).
 */
import type { PortId } from '../frame/types.js';
import type { UpEvidence } from './evidence.js';
import { closeFd, isReadable, linkIndex, openPacketSocketWithRing, takePacketDrops } from '../sys/index.js';
import { Appetite } from './appetite.js';
import type { FrameList, FrameMemory } from './batch.js';
import type { PacketReceiver } from './packet-receiver.js';
import { aimVector, frameVector } from './packet-sender.js';
import type { Port } from './port.js';
import { MappedReceiver } from './mapped-receiver.js';
import { RinglessPort } from './ringless-port.js';

const SOCKET_BUFFER_BYTES = 64 * 1024 * 1024;

export interface ExternalPortParts {
  readonly id: PortId;
  /** See {@link Port.mtu}. */
  readonly mtu?: number;
  readonly device: string;
  readonly memory: FrameMemory;
  readonly receiver: PacketReceiver;
  /** Default: one with a ring, if the kernel gives it. */
  readonly socket?: typeof openPacketSocketWithRing;
}

export class ExternalPort extends RinglessPort implements Port {
  readonly kind = 'external' as const;
  readonly kernelProof = true;
  readonly id: PortId;
  readonly mtu: number | undefined;
  readonly receiveFd: number;
  readonly #parts: ExternalPortParts;
  readonly #appetite = new Appetite();
  readonly #vector = frameVector();
  /** Absent where the kernel gives no ring, or no frame comes through it any more. */
  #mapped: MappedReceiver | undefined;
  #received = 0;
  #drops = 0;

  /** The device exists and is up. */
  constructor(parts: ExternalPortParts) {
    super();
    this.#parts = parts;
    this.id = parts.id;
    this.mtu = parts.mtu;
    const open = parts.socket ?? openPacketSocketWithRing;
    const { fd, ring } = open(linkIndex(parts.device), SOCKET_BUFFER_BYTES);
    this.receiveFd = fd;
    this.#mapped = ring && new MappedReceiver(ring, fd, parts.receiver);
  }

  receive(list: FrameList): number {
    const asked = this.#appetite.frames;
    const count = this.#receive(list, asked);
    this.#appetite.note(list, asked);
    this.#received += count;
    return count;
  }

  #receive(list: FrameList, most: number): number {
    if (this.#mapped !== undefined) return this.#mapped.receive(list, most);
    return this.#parts.receiver.receive(this.receiveFd, list, most);
  }

  send(list: FrameList, from: number): number {
    aimVector(this.#vector, this.#parts.memory, list, from, list.count);
    return this.#vector.send(this.receiveFd, from, list.count);
  }

  beginHold(): void {
    // Nothing is claimed about an external port.
  }

  inspect(): void {
    if (this.#mapped === undefined) return;
    this.#drops += takePacketDrops(this.receiveFd);
    if (!this.#mapped.isStuck(this.#drops)) return;
    this.#drops += this.#mapped.lost;
    this.#mapped.giveUp();
    this.#mapped = undefined;
  }

  upEvidence(): UpEvidence {
    this.#drops += takePacketDrops(this.receiveFd);
    return {
      deviceFrames: this.#received,
      receivedFrames: this.#received,
      socketDrops: this.#drops + (this.#mapped?.lost ?? 0),
      queueEmpty: !isReadable(this.receiveFd),
      mayHaveOverrun: true, // the frames come from any driver, and nothing is known of the room they take
    };
  }

  close(): void {
    this.#mapped?.close();
    closeFd(this.receiveFd);
  }
}
