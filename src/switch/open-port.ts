/** Making ports, in the switch thread: devices are created where the thread stands, or for a moment elsewhere. */
import { rmSync } from 'node:fs';
import { StillwireError } from '../errors/index.js';
import { parseMac } from '../frame/ethernet.js';
import { PlainIo, type DeviceIo } from '../port/device-io.js';
import { DevicePort } from '../port/device-port.js';
import { DgramPort } from '../port/dgram-port.js';
import { ExternalPort } from '../port/external-port.js';
import { PacketReceiver } from '../port/packet-receiver.js';
import { absentKernel, type KernelEvidence } from '../port/kernel-evidence.js';
import { RingIo } from '../port/ring-io.js';
import { TapPort } from '../port/tap-port.js';
import type { FrameMemory } from '../port/batch.js';
import {
  acceptOffloads,
  bindDatagram,
  attachTap,
  closeFd,
  createTap,
  datagramPair,
  datagramQueueLength,
  defaultSendBuffer,
  enterNamespace,
  linkIndex,
  LinkStatistics,
  monotonicMs,
  pause,
  raiseSendBuffer,
  type Ring,
  setLinkMac,
  setLinkMtu,
  setLinkQueueLength,
  setLinkUp,
} from '../sys/index.js';
import type { Commands, DatagramEnds } from './protocol.js';

/** Frames a TAP's ring holds: the kernel's default, far above the window, so that it never overflows. */
const RING_FRAMES = 1000;
/** The ring of a device port is filled by its machine and emptied by us: room for what it sends while we get no CPU. */
const DEVICE_RING_FRAMES = 8192;
/**
 * The files of a ring are let go a while after its process was killed (io_ring_exit_work; 30 to 130 ms were seen), and
 * until then the kernel says that somebody holds the TAP.
 */
const RELEASE_MS = 2000;
const RETRY_MS = 5;
/** Send buffers of a datagram pair: more than a guest sends while we get no CPU. Who is no root gets net.core.wmem_max. */
const DATAGRAM_BUFFER_BYTES = 64 * 1024 * 1024;

/**
 * Set to 1, nothing the kernel shows about a port is looked at, and numbers without meaning stand in its place. For the
 * tests that `cookie` proves a cut without it.
 */
const BLINDFOLD = 'STILLWIRE_WITHOUT_KERNEL_EVIDENCE';

type DeviceAsk = Commands['addDevice']['ask'];

function makePair(): DatagramEnds {
  const [socket, otherEnd] = datagramPair();
  return { socket, otherEnd };
}

export class PortOpener {
  readonly #memory: FrameMemory;
  readonly #home: string;
  readonly #ring: Ring | undefined;
  readonly #receiver: PacketReceiver;
  readonly #statistics = new LinkStatistics();
  readonly #kernel: { readonly kernel?: KernelEvidence } =
    process.env[BLINDFOLD] === '1' ? { kernel: absentKernel() } : {};

  /**
   * @param home path of the namespace the thread is in
   * @param ring whereby devices are read and written, where they can be
   */
  constructor(memory: FrameMemory, home: string, ring?: Ring) {
    this.#memory = memory;
    this.#home = home;
    this.#ring = ring;
    this.#receiver = new PacketReceiver(memory);
  }

  tap({ id, device, mtu, tunFd: given }: Commands['addTap']['ask']): TapPort {
    const tunFd = given ?? createTap(device);
    try {
      setLinkMtu(device, mtu);
      setLinkQueueLength(device, RING_FRAMES);
      setLinkUp(device, { arp: false });
      const parts = { id, device, mtu, tunFd, memory: this.#memory, receiver: this.#receiver };
      const attached = given !== undefined;
      return new TapPort({ ...parts, statistics: this.#statistics, attached, ...this.#kernel });
    } catch (error) {
      closeFd(tunFd);
      throw error;
    }
  }

  pair({ id, mtu, found }: Commands['addPair']['ask']): { port: DgramPort; ends: DatagramEnds } {
    const ends = found ?? makePair();
    try {
      const sendBuffer = raiseSendBuffer(ends.socket, DATAGRAM_BUFFER_BYTES);
      // What the other end sends is paid for by its buffer: the only limit there is between the ends of a pair.
      const bytes = raiseSendBuffer(ends.otherEnd, DATAGRAM_BUFFER_BYTES);
      const room = { frames: Number.POSITIVE_INFINITY, bytes };
      const attached = found !== undefined;
      const parts = { id, memory: this.#memory, ...ends, sendBuffer, mtu, room, attached };
      return { port: new DgramPort({ ...parts, ...this.#kernel }), ends };
    } catch (error) {
      closeFd(ends.socket);
      closeFd(ends.otherEnd);
      throw error;
    }
  }

  dgram({ id, mtu, path, peer }: Commands['addDgram']['ask']): DgramPort {
    const socket = bindDatagram(path);
    const onClose = (): void => rmSync(path, { force: true });
    try {
      const sendBuffer = raiseSendBuffer(socket, DATAGRAM_BUFFER_BYTES);
      // Another's send buffer cannot be seen: taken to be the default, as QEMU leaves it.
      const room = { frames: datagramQueueLength(), bytes: defaultSendBuffer() };
      const parts = { id, memory: this.#memory, socket, sendBuffer, mtu, room, peer, onClose };
      return new DgramPort({ ...parts, ...this.#kernel });
    } catch (error) {
      closeFd(socket);
      onClose();
      throw error;
    }
  }

  /** `found`: the device was there, with whatever its machine has made of it. */
  device(ask: DeviceAsk): { port: DevicePort; found: boolean } {
    const { device, mtu, mac, netns, attach = false } = ask;
    return this.#elsewhere(netns ?? '/proc/self/ns/net', () => {
      const { tunFd, found } = attach ? takeUp(device) : { tunFd: createTap(device), found: false };
      try {
        acceptOffloads(tunFd);
        if (mac !== undefined && !found) setLinkMac(device, parseMac(mac));
        setLinkMtu(device, mtu);
        setLinkQueueLength(device, DEVICE_RING_FRAMES);
        setLinkUp(device, { arp: true });
        return { port: this.#devicePort(ask, tunFd), found };
      } catch (error) {
        closeFd(tunFd);
        throw error;
      }
    });
  }

  #devicePort({ id, device, mtu }: DeviceAsk, tunFd: number): DevicePort {
    const io = this.#deviceIo(tunFd);
    let statistics: LinkStatistics | undefined;
    try {
      statistics = new LinkStatistics();
      const parts = { id, device, mtu, tunFd, io, statistics, ringFrames: DEVICE_RING_FRAMES };
      return new DevicePort({ ...parts, ...this.#kernel });
    } catch (error) {
      io.close();
      statistics?.close();
      throw error;
    }
  }

  #deviceIo(tunFd: number): DeviceIo {
    const inBursts = this.#ring && RingIo.for(this.#ring, tunFd, this.#memory);
    return inBursts ?? new PlainIo(tunFd, this.#memory);
  }

  external({ id, device, mtu }: Commands['addExternal']['ask']): ExternalPort {
    setLinkMtu(device, mtu);
    setLinkUp(device, { arp: false });
    return new ExternalPort({ id, device, mtu, memory: this.#memory, receiver: this.#receiver });
  }

  close(): void {
    this.#statistics.close();
  }

  /** Runs `work` in another namespace and comes back, whatever happens. */
  #elsewhere<T>(path: string, work: () => T): T {
    enterNamespace(path);
    try {
      return work();
    } finally {
      enterNamespace(this.#home);
    }
  }
}

/** Takes up a TAP that nobody holds, or that only a dead process's ring holds; made anew when it is gone, or goes then. */
function takeUp(device: string): { tunFd: number; found: boolean } {
  for (const until = monotonicMs() + RELEASE_MS; ;) {
    if (!isThere(device)) return { tunFd: createTap(device), found: false };
    try {
      return { tunFd: attachTap(device), found: true };
    } catch (error) {
      const busy = error instanceof StillwireError && error.details['errno'] === 'EBUSY';
      if (!busy || monotonicMs() > until) throw error;
      pause(RETRY_MS);
    }
  }
}

function isThere(device: string): boolean {
  try {
    linkIndex(device);
    return true;
  } catch (error) {
    if (error instanceof StillwireError && error.details['errno'] === 'ENODEV') return false;
    throw error;
  }
}
