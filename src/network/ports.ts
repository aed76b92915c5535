/**
 * The ports of a network: each is opened as the definition says, or taken up where something of it is there already (an
 * adopted guest's TAP, what a dead process has left). What stands for a port afterwards is known by its id: descriptors
 * for its hypervisor, and the device's name for the next process.
 *
 *   guest's NIC   TAP, made or taken up · borrowed TAP of an adopted guest · datagram pair
 *   any other     device: a TAP in somebody's namespace · external: a veth to the host · dgram: a socket at a path
 */
import { StillwireError } from '../errors/index.js';
import {
  nicPort,
  transportOf,
  type AdoptedNic,
  type NetworkDefinition,
  type NicDefinition,
  type PortDefinition,
} from '../definition/definition.js';
import type { PortId } from '../frame/types.js';
import { descriptorName, namespacePath, setTapPersistent } from '../sys/index.js';
import type { Commands, DatagramEnds, SwitchHandle } from '../switch/index.js';
import { describeTap, FRESH_TAP, giveBackTap, takeTap, type AdoptedTap } from './adopted-tap.js';
import { addAddresses, createVeth, deleteVeth, linkExists, namespaceOf, untilCarrying } from './namespace.js';

/** What a network whose process died has left, for `Network.attachHeld`. */
export interface Remains {
  /** The netdev of every port. */
  readonly devices: Readonly<Record<PortId, string>>;
  /** Our descriptors of the TAPs whose guests live, by port; the network's from then on. */
  readonly taps: ReadonlyMap<PortId, number>;
  /** As {@link Ports.borrowed} was. */
  readonly borrowed?: readonly AdoptedTap[];
  /** Likewise of both ends of their datagram pairs. */
  readonly pairs?: ReadonlyMap<PortId, DatagramEnds>;
}

/** What is there already; what is used is taken out. */
export interface Findings {
  /** Descriptors of TAPs. */
  readonly taps: Map<PortId, number>;
  readonly pairs: Map<PortId, DatagramEnds>;
  /** Of a dead process: the netdev of every port. Absent: nothing but those descriptors is there. */
  readonly devices?: Readonly<Record<PortId, string>>;
  readonly borrowed?: readonly AdoptedTap[];
}

export class Ports {
  readonly #definition: NetworkDefinition;
  readonly #namespace: string;
  readonly #switch: SwitchHandle;
  readonly #found: Findings;
  /** Descriptors for hypervisors: of TAPs, or of their ends of datagram pairs. */
  readonly #tapFds = new Map<PortId, number>();
  /** Our ends of guests' datagram pairs. */
  readonly #ourEnds = new Map<PortId, number>();
  /** Our ends of the external ports. */
  readonly #veths: string[] = [];
  /** Descriptors of device ports, to make them outlive us. */
  readonly #deviceFds: number[] = [];
  readonly #devices: Record<PortId, string> = {};
  readonly #borrowed: AdoptedTap[];
  #named = 0;

  constructor(definition: NetworkDefinition, handle: SwitchHandle, found: Findings) {
    this.#definition = definition;
    this.#namespace = namespaceOf(definition.network);
    this.#switch = handle;
    this.#found = found;
    this.#borrowed = [...(found.borrowed ?? [])];
  }

  /** The netdev of every port, or what stands in its place ({@link pairName}, a path). */
  get devices(): Readonly<Record<PortId, string>> {
    return this.#devices;
  }

  /** TAPs of adopted guests, as they are to be given back. */
  get borrowed(): readonly AdoptedTap[] {
    return this.#borrowed;
  }

  /** @throws StillwireError INTERNAL when it is no guest's */
  tapFd(id: PortId): number {
    const fd = this.#tapFds.get(id);
    if (fd === undefined) throw new StillwireError('INTERNAL', `no TAP for ${id}`, { port: id });
    return fd;
  }

  /** Undefined for a TAP. */
  ourEnd(id: PortId): number | undefined {
    return this.#ourEnds.get(id);
  }

  /** Opens every port; the segments are there. */
  async open(): Promise<void> {
    const { guests, ports } = this.#definition;
    for (const [guest, { nics }] of Object.entries(guests)) {
      for (const nic of nics) await this.#openNic(nicPort(guest, nic.name), nic);
    }
    for (const [id, port] of Object.entries(ports)) await this.#openPort(id, port);
  }

  async #openNic(id: PortId, nic: NicDefinition | AdoptedNic): Promise<void> {
    const { segment, mtu, vlan = 0 } = nic;
    if (transportOf(nic) === 'dgram') return this.#openPair({ id, segment, mtu, vlan });
    const { taps } = this.#found;
    const given = taps.get(id);
    const device = 'device' in nic ? await this.#borrow(id, nic.device) : this.#name(id, 'tap');
    const found = given === undefined ? {} : { tunFd: given };
    taps.delete(id); // the switch's now, whatever becomes of it
    const { tunFd } = await this.#switch.call('addTap', { id, segment, device, mtu, vlan, ...found });
    this.#tapFds.set(id, tunFd);
  }

  /** Takes the TAP of an adopted guest into our namespace, if it is there and not here already; its name. */
  async #borrow(id: PortId, device: string): Promise<string> {
    this.#devices[id] = device;
    if (this.#borrowed.some((tap) => tap.device === device)) return device;
    const found = this.#found.taps.has(id);
    const tap = found ? await describeTap(device) : { device, ...FRESH_TAP };
    if (found) await takeTap(this.#namespace, tap);
    this.#borrowed.push(tap);
    return device;
  }

  async #openPair(ask: Omit<Commands['addPair']['ask'], 'found'>): Promise<void> {
    const { id } = ask;
    const { pairs } = this.#found;
    const given = pairs.get(id);
    pairs.delete(id); // the switch's now, whatever becomes of it
    const ends = await this.#switch.call('addPair', given === undefined ? ask : { ...ask, found: given });
    this.#devices[id] = pairName(ends);
    this.#tapFds.set(id, ends.otherEnd);
    this.#ourEnds.set(id, ends.socket);
  }

  async #openPort(id: PortId, port: PortDefinition): Promise<void> {
    const { segment, mtu, vlan = 0 } = port;
    if (port.kind === 'external') return this.#openExternal(id, port);
    if (port.kind === 'device') return this.#openDevice(id, port);
    const { path, peer } = port;
    this.#devices[id] = path;
    await this.#switch.call('addDgram', { id, segment, mtu, vlan, path, peer });
  }

  async #openExternal(id: PortId, port: PortDefinition & { readonly kind: 'external' }): Promise<void> {
    const { segment, mtu, vlan = 0 } = port;
    const device = this.#name(id, 'ext');
    const found = this.#found.devices !== undefined && linkExists(port.device);
    if (!found) await createVeth(this.#namespace, device, port);
    this.#veths.push(port.device);
    await this.#switch.call('addExternal', { id, segment, device, mtu, vlan });
    await untilCarrying(port.device);
  }

  async #openDevice(id: PortId, port: PortDefinition & { readonly kind: 'device' }): Promise<void> {
    const { segment, device, mtu, vlan = 0 } = port;
    const netns = port.netns === undefined ? '/proc/self/ns/net' : namespacePath(port.netns);
    const mac = port.mac === undefined ? {} : { mac: port.mac };
    this.#devices[id] = device;
    const attach = this.#found.devices !== undefined;
    const ask = { id, segment, device, mtu, vlan, netns, attach, ...mac };
    const { tunFd, found } = await this.#switch.call('addDevice', ask);
    this.#deviceFds.push(tunFd);
    if (!found) await addAddresses(netns, device, port.addresses);
  }

  /** The name of a port's netdev in our namespace: the one it had, or a new one. */
  #name(id: PortId, prefix: string): string {
    const borrowed = Object.values(this.#definition.guests).flatMap(({ nics }) =>
      nics.flatMap((nic) => ('device' in nic ? nic.device : [])),
    );
    let next = `${prefix}${this.#named++}`;
    while (borrowed.includes(next)) next = `${prefix}${this.#named++}`;
    return (this.#devices[id] = this.#found.devices?.[id] ?? next);
  }

  /** The netdevs of device ports outlive this process, should it be killed. */
  outlive(): void {
    for (const fd of this.#deviceFds) setTapPersistent(fd, true);
  }

  /** They die with the switch again; one that is gone already is no error. */
  dieWithSwitch(): void {
    for (const fd of this.#deviceFds) {
      try {
        setTapPersistent(fd, false);
      } catch {
        // Deleted beneath us, or the switch thread, dying, has closed it.
      }
    }
  }

  /** Takes away what stands outside our namespace and would stay. The switch has ended. */
  async leaveHost(): Promise<void> {
    for (const device of this.#veths) await deleteVeth(device);
    for (const tap of this.#borrowed) await giveBackTap(this.#namespace, tap);
  }
}

/** How a datagram pair is known again among the descriptors of a process: the names of its two ends. */
const pairName = ({ socket, otherEnd }: DatagramEnds): string =>
  `${descriptorName(socket)} ${descriptorName(otherEnd)}`;
