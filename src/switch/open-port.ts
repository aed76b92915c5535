/** Making ports, in the switch thread: devices are created where the thread stands, or for a moment elsewhere. */
import { parseMac } from '../frame/ethernet.js';
import { DevicePort } from '../port/device-port.js';
import { ExternalPort } from '../port/external-port.js';
import { PacketReceiver } from '../port/packet-receiver.js';
import { absentKernel, type KernelEvidence } from '../port/kernel-evidence.js';
import { TapPort } from '../port/tap-port.js';
import type { FrameMemory } from '../port/batch.js';
import {
  acceptOffloads,
  closeFd,
  createTap,
  enterNamespace,
  LinkStatistics,
  setLinkMac,
  setLinkMtu,
  setLinkQueueLength,
  setLinkUp,
} from '../sys/index.js';
import type { Commands } from './protocol.js';

/** Frames a TAP's ring holds: the kernel's default, far above the window, so that it never overflows. */
const RING_FRAMES = 1000;
/** The ring of a device port is filled by its machine and emptied by us: room for what it sends while we get no CPU. */
const DEVICE_RING_FRAMES = 8192;

/**
 * Set to 1, nothing the kernel shows about a port is looked at, and numbers without meaning stand in its place. For the
 * tests that `cookie` proves a cut without it.
 */
const BLINDFOLD = 'STILLWIRE_WITHOUT_KERNEL_EVIDENCE';

export class PortOpener {
  readonly #memory: FrameMemory;
  readonly #home: string;
  readonly #receiver: PacketReceiver;
  readonly #statistics = new LinkStatistics();
  readonly #kernel: { readonly kernel?: KernelEvidence } =
    process.env[BLINDFOLD] === '1' ? { kernel: absentKernel() } : {};

  /** @param home path of the namespace the thread is in */
  constructor(memory: FrameMemory, home: string) {
    this.#memory = memory;
    this.#home = home;
    this.#receiver = new PacketReceiver(memory);
  }

  tap({ id, device, mtu }: Commands['addTap']['ask']): TapPort {
    const tunFd = createTap(device);
    try {
      setLinkMtu(device, mtu);
      setLinkQueueLength(device, RING_FRAMES);
      setLinkUp(device, { arp: false });
      const parts = { id, device, tunFd, memory: this.#memory, receiver: this.#receiver };
      return new TapPort({ ...parts, statistics: this.#statistics, ...this.#kernel });
    } catch (error) {
      closeFd(tunFd);
      throw error;
    }
  }

  device({ id, device, mtu, mac, netns }: Commands['addDevice']['ask']): DevicePort {
    return this.#elsewhere(netns ?? '/proc/self/ns/net', () => {
      const tunFd = createTap(device);
      try {
        acceptOffloads(tunFd);
        if (mac !== undefined) setLinkMac(device, parseMac(mac));
        setLinkMtu(device, mtu);
        setLinkQueueLength(device, DEVICE_RING_FRAMES);
        setLinkUp(device, { arp: true });
        const statistics = new LinkStatistics();
        try {
          const parts = { id, device, tunFd, memory: this.#memory, statistics, ...this.#kernel };
          return new DevicePort({ ...parts, ringFrames: DEVICE_RING_FRAMES });
        } catch (error) {
          statistics.close();
          throw error;
        }
      } catch (error) {
        closeFd(tunFd);
        throw error;
      }
    });
  }

  external({ id, device, mtu }: Commands['addExternal']['ask']): ExternalPort {
    setLinkMtu(device, mtu);
    setLinkUp(device, { arp: false });
    return new ExternalPort({ id, device, memory: this.#memory, receiver: this.#receiver });
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
