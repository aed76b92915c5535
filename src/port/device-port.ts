/**
 * A plain TAP whose netdev belongs to a container or namespace; we are its reader and writer.
 *
 *   container → netdev → ring → receive() reads the descriptor
 *   send() → writes the descriptor → netdev → the container's stack
 *
 * A write hands the frame to the container's stack before it returns (tun_get_user, netif_receive_skb), so the way
 * down is never anything but empty. The way up is empty when the ring is, and complete when the device dropped nothing.
 */
import { StillwireError } from '../errors/index.js';
import type { PortId } from '../frame/types.js';
import type { UpEvidence } from './evidence.js';
import {
  closeFd,
  EBADFD,
  isReadable,
  linkIndex,
  type LinkCounters,
  type LinkStatistics,
} from '../sys/index.js';
import { Appetite } from './appetite.js';
import { Backlog } from './backlog.js';
import type { FrameList } from './batch.js';
import type { DeviceIo } from './device-io.js';
import { observedKernel, type KernelEvidence } from './kernel-evidence.js';
import type { Port } from './port.js';
import { RinglessPort } from './ringless-port.js';

export interface DevicePortParts {
  readonly id: PortId;
  /** See {@link Port.mtu}. */
  readonly mtu?: number;
  readonly device: string;
  readonly tunFd: number;
  /** How the descriptor is read and written; closed with the port. */
  readonly io: DeviceIo;
  /** Opened in the namespace of the netdev; closed with the port. */
  readonly statistics: LinkStatistics;
  /** Frames the ring holds: the device's txqueuelen. */
  readonly ringFrames: number;
  /** Default: the real one. */
  readonly kernel?: KernelEvidence;
}

export class DevicePort extends RinglessPort implements Port {
  readonly kind = 'device' as const;
  readonly kernelProof: boolean;
  readonly id: PortId;
  readonly mtu: number | undefined;
  readonly receiveFd: number;
  readonly #parts: DevicePortParts;
  readonly #kernel: KernelEvidence;
  /** A frame takes one place in the ring, however long it is (drivers/net/tun.c, tun_net_xmit). */
  readonly #backlog: Backlog;
  readonly #appetite = new Appetite();
  readonly #index: number;
  readonly #baseFrames: number;
  #baseDropped: number;
  #received = 0;
  #gone = false;

  /** Built while the calling thread is in the netdev's namespace. */
  constructor(parts: DevicePortParts) {
    super();
    this.#parts = parts;
    this.id = parts.id;
    this.mtu = parts.mtu;
    this.receiveFd = parts.tunFd;
    this.#index = linkIndex(parts.device);
    this.#kernel = parts.kernel ?? observedKernel(parts.statistics);
    this.kernelProof = this.#kernel.real;
    this.#backlog = new Backlog(parts.ringFrames, () => 1);
    const counters = this.#kernel.counters(this.#index);
    this.#baseFrames = counters.txPackets;
    this.#baseDropped = counters.txDropped;
  }

  receive(list: FrameList): number {
    const asked = Math.min(this.#appetite.frames, this.#parts.io.likely);
    this.#gone = this.#parts.io.receive(list, asked) === -EBADFD; // detached (tun_chr_read_iter)
    if (this.#gone && list.count === 0) return -1;
    this.#appetite.note(list, asked);
    this.#backlog.note(list, asked);
    this.#received += list.count;
    return list.count;
  }

  send(list: FrameList, from: number): number {
    return this.#parts.io.send(list, from);
  }

  beginHold(): void {
    // What overran the ring earlier is the network's loss and not the cut's.
    this.#baseDropped = this.#counters()?.txDropped ?? this.#baseDropped;
    this.#backlog.beginHold(!isReadable(this.receiveFd));
  }

  upEvidence(): UpEvidence {
    const counters = this.#counters();
    if (counters === undefined || this.#gone) {
      // Deleted, with whatever lay in its ring: nothing can be claimed about it, and the other ports not be spoiled.
      return {
        deviceFrames: this.#received,
        receivedFrames: this.#received,
        socketDrops: 0,
        queueEmpty: false,
        mayHaveOverrun: false,
      };
    }
    return {
      deviceFrames: counters.txPackets - this.#baseFrames,
      receivedFrames: this.#received,
      socketDrops: counters.txDropped - this.#baseDropped,
      queueEmpty: !isReadable(this.receiveFd),
      mayHaveOverrun: this.#backlog.mayHaveOverrun,
    };
  }

  /** Undefined when the device is gone. */
  #counters(): LinkCounters | undefined {
    try {
      return this.#kernel.counters(this.#index);
    } catch (error) {
      if (error instanceof StillwireError && error.details['errno'] === 'ENODEV') return undefined;
      throw error;
    }
  }

  close(): void {
    this.#parts.statistics.close();
    this.#parts.io.close();
    closeFd(this.receiveFd);
  }
}
