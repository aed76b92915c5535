/**
 * A live network: its namespace, its switch thread, its segments and ports. Who runs on the ports is not its concern.
 */
import { EventEmitter } from 'node:events';
import { StillwireError } from '../errors/index.js';
import {
  nicPort,
  privilegedPort,
  transportOf,
  type NetworkDefinition,
  type PortDefinition,
} from '../definition/definition.js';
import type { PortId } from '../frame/types.js';
import { closeFd, descriptorName, mayMakeDevices, namespacePath, setTapPersistent } from '../sys/index.js';
import {
  SwitchHandle,
  type CapturedFrame,
  type Commands,
  type DatagramEnds,
  type Notice,
} from '../switch/index.js';
import { describeTap, FRESH_TAP, giveBackTap, takeTap, type AdoptedTap } from './adopted-tap.js';
import { Hold, type HoldOptions } from './hold.js';
import { LeasedChannel } from './leased-channel.js';
import {
  addAddresses,
  createNamespace,
  createVeth,
  deleteNamespace,
  deleteVeth,
  linkExists,
  namespaceExists,
  namespaceOf,
  untilCarrying,
} from './namespace.js';

export type Release = Extract<Notice, { notice: 'released' }>;

interface NetworkEvents {
  /** The switch thread failed; the network is dead. */
  failed: [error: StillwireError];
  /** What is held would not survive this process: the hold file cannot take it. */
  unsafe: [reason: string];
}

export interface OpenOptions {
  /** Keeps what is held when the process is killed; see `recoverHeld` of the switch. Removed at {@link Network.close}. */
  readonly holdFile?: string;
  /** Descriptors of the TAPs of adopted guests, by port; the network's from then on. Absent: their TAPs are made. */
  readonly adopted?: ReadonlyMap<PortId, number>;
}

/** What a network whose process died has left, for {@link Network.attachHeld}. */
export interface Remains {
  /** The netdev of every port. */
  readonly devices: Readonly<Record<PortId, string>>;
  /** Our descriptors of the TAPs whose guests live, by port; the network's from then on. */
  readonly taps: ReadonlyMap<PortId, number>;
  /** As {@link Network.borrowed} was. */
  readonly borrowed?: readonly AdoptedTap[];
  /** Likewise of both ends of their datagram pairs. */
  readonly pairs?: ReadonlyMap<PortId, DatagramEnds>;
}

/** {@link Remains} of which the network takes what it uses. */
interface Leavings extends Remains {
  readonly pairs: Map<PortId, DatagramEnds>;
}

export class Network extends EventEmitter<NetworkEvents> {
  readonly definition: NetworkDefinition;
  readonly #switch: SwitchHandle;
  readonly #tapFds = new Map<PortId, number>();
  #hold: Hold | undefined;
  /** Our ends of the external ports. */
  readonly #veths: string[] = [];
  /** Descriptors of device ports, to make them outlive us. */
  readonly #deviceFds: number[] = [];
  readonly #devices: Record<PortId, string> = {};
  /** Our ends of guests' datagram pairs. */
  readonly #ourEnds = new Map<PortId, number>();
  readonly #remains: Leavings | undefined;
  /** Descriptors of TAPs that are there already, until the switch has them. */
  readonly #given: Map<PortId, number>;
  readonly #borrowed: AdoptedTap[];
  #opened = 0;
  #closed = false;

  private constructor(
    definition: NetworkDefinition,
    handle: SwitchHandle,
    given: Map<PortId, number>,
    remains?: Leavings,
  ) {
    super();
    this.definition = definition;
    this.#switch = handle;
    this.#remains = remains;
    this.#given = given;
    this.#borrowed = [...(remains?.borrowed ?? [])];
    handle.on('failed', (error) => this.emit('failed', error));
    handle.on('unsafe', (reason) => this.emit('unsafe', reason));
  }

  /**
   * Creates the namespace (where a port needs one), the switch and every port. Traffic flows when it resolves. A
   * failure leaves nothing.
   * @throws StillwireError NETWORK_STALE, NO_PRIVILEGE, MISSING_PROGRAM, SYSCALL
   */
  static async open(definition: NetworkDefinition, options: OpenOptions = {}): Promise<Network> {
    return (await Network.#open(definition, undefined, options)).network;
  }

  /**
   * As {@link open}, but held from its first moment: nothing is delivered, and nothing is received before
   * {@link Hold.restore} or the release.
   */
  static async openHeld(
    definition: NetworkDefinition,
    leaseMs: number,
    options: OpenOptions = {},
  ): Promise<{ network: Network; hold: Hold }> {
    const { network, hold } = await Network.#open(definition, leaseMs, options);
    return { network, hold: demandHold(hold) };
  }

  /**
   * Takes up the namespace and devices of a network whose process died, held like {@link openHeld}. Ports whose devices
   * are gone (a guest ended, somebody removed the host's end of a veth) are made anew. A failure leaves all as it was.
   * @throws StillwireError NETWORK_STALE when the namespace is gone; NO_PRIVILEGE, SYSCALL
   */
  static async attachHeld(
    definition: NetworkDefinition,
    leaseMs: number,
    remains: Remains,
    options: OpenOptions = {},
  ): Promise<{ network: Network; hold: Hold }> {
    const namespace = namespaceFor(definition);
    const taps = new Map(remains.taps);
    const pairs = new Map(remains.pairs);
    let network: Network | undefined;
    try {
      if (namespace !== undefined && !namespaceExists(namespace)) {
        throw new StillwireError('NETWORK_STALE', `the network namespace ${namespace} is gone`, {
          namespace,
        });
      }
      const handle = await SwitchHandle.start(namespace && namespacePath(namespace), options);
      network = new Network(definition, handle, taps, { ...remains, pairs });
      await network.#build(leaseMs);
      return { network, hold: demandHold(network.#hold) };
    } catch (error) {
      await network?.leave();
      for (const fd of taps.values()) closeFd(fd);
      for (const { socket, otherEnd } of pairs.values()) for (const fd of [socket, otherEnd]) closeFd(fd);
      throw error;
    }
  }

  static async #open(
    definition: NetworkDefinition,
    leaseMs: number | undefined,
    options: OpenOptions,
  ): Promise<{ network: Network; hold: Hold | undefined }> {
    const namespace = namespaceFor(definition);
    const given = new Map(options.adopted);
    let network: Network | undefined;
    try {
      if (namespace !== undefined) await createNamespace(namespace);
      try {
        const path = namespace && namespacePath(namespace);
        network = new Network(definition, await SwitchHandle.start(path, options), given);
        await network.#build(leaseMs);
        return { network, hold: network.#hold };
      } catch (error) {
        await network?.close();
        if (namespace !== undefined && network === undefined) await deleteNamespace(namespace);
        throw error;
      }
    } catch (error) {
      for (const fd of given.values()) closeFd(fd);
      throw error;
    }
  }

  /** Where its devices are. There is none of that name when it has no devices ({@link privilegedPort}). */
  get namespace(): string {
    return namespaceOf(this.definition.network);
  }

  async #build(leaseMs: number | undefined): Promise<void> {
    for (const [name, settings] of Object.entries(this.definition.segments)) {
      await this.#switch.call('addSegment', { name, settings });
    }
    if (leaseMs !== undefined) await this.holdAsIs({ leaseMs });
    for (const [guest, { nics }] of Object.entries(this.definition.guests)) {
      for (const nic of nics) {
        const { name, segment, mtu, vlan = 0 } = nic;
        const id = nicPort(guest, name);
        if (transportOf(nic) === 'dgram') {
          await this.#addPair({ id, segment, mtu, vlan });
          continue;
        }
        const given = this.#given.get(id);
        const device = 'device' in nic ? await this.#borrow(id, nic.device) : this.#name(id, 'tap');
        const found = given === undefined ? {} : { tunFd: given };
        this.#given.delete(id); // the switch's now, whatever becomes of it
        const { tunFd } = await this.#switch.call('addTap', { id, segment, device, mtu, vlan, ...found });
        this.#tapFds.set(id, tunFd);
      }
    }
    for (const [id, port] of Object.entries(this.definition.ports)) await this.#addPort(id, port);
  }

  /** Takes the TAP of an adopted guest into our namespace, if it is there and not here already; its name. */
  async #borrow(id: PortId, device: string): Promise<string> {
    this.#devices[id] = device;
    if (this.#borrowed.some((tap) => tap.device === device)) return device;
    const found = this.#given.has(id);
    const tap = found ? await describeTap(device) : { device, ...FRESH_TAP };
    if (found) await takeTap(this.namespace, tap);
    this.#borrowed.push(tap);
    return device;
  }

  /** TAPs of adopted guests, as they are to be given back. */
  get borrowed(): readonly AdoptedTap[] {
    return this.#borrowed;
  }

  /** The name of a port's netdev in our namespace: the one it had, or a new one. */
  #name(id: PortId, prefix: string): string {
    const borrowed = Object.values(this.definition.guests).flatMap(({ nics }) =>
      nics.flatMap((nic) => ('device' in nic ? nic.device : [])),
    );
    let next = `${prefix}${this.#opened++}`;
    while (borrowed.includes(next)) next = `${prefix}${this.#opened++}`;
    return (this.#devices[id] = this.#remains?.devices[id] ?? next);
  }

  async #addPair(ask: Omit<Commands['addPair']['ask'], 'found'>): Promise<void> {
    const { id } = ask;
    const given = this.#remains?.pairs.get(id);
    this.#remains?.pairs.delete(id); // the switch's now, whatever becomes of it
    const ends = await this.#switch.call('addPair', given === undefined ? ask : { ...ask, found: given });
    this.#devices[id] = pairName(ends);
    this.#tapFds.set(id, ends.otherEnd);
    this.#ourEnds.set(id, ends.socket);
  }

  async #addPort(id: PortId, port: PortDefinition): Promise<void> {
    const { segment, mtu, vlan = 0 } = port;
    if (port.kind === 'dgram') {
      const { path, peer } = port;
      this.#devices[id] = path;
      await this.#switch.call('addDgram', { id, segment, mtu, vlan, path, peer });
      return;
    }
    if (port.kind === 'external') {
      const device = this.#name(id, 'ext');
      const found = this.#remains !== undefined && linkExists(port.device);
      if (!found) await createVeth(this.namespace, device, port);
      this.#veths.push(port.device);
      await this.#switch.call('addExternal', { id, segment, device, mtu, vlan });
      await untilCarrying(port.device);
      return;
    }
    const netns = port.netns === undefined ? '/proc/self/ns/net' : namespacePath(port.netns);
    const mac = port.mac === undefined ? {} : { mac: port.mac };
    const { device } = port;
    this.#devices[id] = device;
    const attach = this.#remains !== undefined;
    const ask = { id, segment, device, mtu, vlan, netns, attach, ...mac };
    const { tunFd, found } = await this.#switch.call('addDevice', ask);
    this.#deviceFds.push(tunFd);
    if (!found) await addAddresses(netns, device, port.addresses);
  }

  /** The netdev of every port, or what stands in its place ({@link pairName}, a path): what {@link attachHeld} needs to know after this process. */
  get devices(): Readonly<Record<PortId, string>> {
    return this.#devices;
  }

  /**
   * Lets the netdevs of device ports outlive this process, should it be killed: a container keeps its interface, with
   * addresses and routes. {@link close} removes them all the same. Call it when {@link devices} has been written down.
   */
  outlive(): void {
    for (const fd of this.#deviceFds) setTapPersistent(fd, true);
  }

  /**
   * Our descriptor of a guest's TAP, or of its end of a datagram pair, to be inherited by its hypervisor. It stays
   * ours.
   */
  tapFd(id: PortId): number {
    const fd = this.#tapFds.get(id);
    if (fd === undefined) throw new StillwireError('INTERNAL', `no TAP for ${id}`, { port: id });
    return fd;
  }

  /**
   * Our end of a guest's datagram pair; undefined for a TAP. Its hypervisor is to inherit it too, unused: so it outlives
   * us, with what lies in it.
   */
  ourEnd(id: PortId): number | undefined {
    return this.#ourEnds.get(id);
  }

  /** The hold that lasts now. */
  get currentHold(): Hold | undefined {
    return this.#hold;
  }

  /**
   * Stops all delivery, then empties the way down. Traffic that arrives is kept until {@link Hold.release}.
   * @throws StillwireError NETWORK_HELD, HOLD_EXPIRED
   */
  async hold(options: HoldOptions = {}): Promise<Hold> {
    const hold = await this.holdAsIs(options);
    await hold.drain(options.signal);
    return hold;
  }

  /** Stops all delivery and nothing else. @throws StillwireError NETWORK_HELD */
  async holdAsIs(options: HoldOptions = {}): Promise<Hold> {
    const hold: Hold = await Hold.begin(this.#switch, options, () => {
      if (this.#hold === hold) this.#hold = undefined;
    });
    this.#hold = hold;
    return hold;
  }

  /** The switch as `runSequence` of the quiesce needs it, under a lease. */
  channel(leaseMs: number): LeasedChannel {
    return new LeasedChannel(this.#switch, leaseMs);
  }

  get handle(): SwitchHandle {
    return this.#switch;
  }

  /** Resolves when the next release has delivered everything, or with undefined after `boundMs`. */
  nextRelease(boundMs: number): Promise<Release | undefined> {
    return new Promise((resolve) => {
      const done = (release?: Release): void => {
        clearTimeout(timer);
        this.#switch.off('released', done);
        resolve(release);
      };
      const timer = setTimeout(done, boundMs);
      this.#switch.on('released', done);
    });
  }

  /** The ledger as it stands, and whether the network is held. */
  ledger(): Promise<Commands['ledger']['answer']> {
    return this.#switch.call('ledger', {});
  }

  /** Every frame that enters from now on, in batches, until the signal is aborted. One watcher at a time. */
  async *capture(signal: AbortSignal): AsyncGenerator<{ frames: CapturedFrame[]; missed: number }> {
    if (this.#switch.listenerCount('captured') > 0) {
      throw new StillwireError('NETWORK_BUSY', 'another capture is running on this network');
    }
    const batches = EventEmitter.on(this.#switch, 'captured', { signal });
    await this.#switch.call('capture', { on: true });
    try {
      for await (const [batch] of batches) {
        yield batch as { frames: CapturedFrame[]; missed: number };
        await this.#switch.call('captured', {});
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      if (!this.#closed) await this.#switch.call('capture', { on: false });
    }
  }

  /**
   * Removes ports, switch and namespace; what a hold still keeps is not delivered (release it before, or have it in an
   * image). Idempotent.
   */
  async close(): Promise<void> {
    for (const fd of this.#closed ? [] : this.#deviceFds) forget(fd);
    if (!(await this.#end({ leave: false }))) return;
    for (const device of this.#veths) await deleteVeth(device);
    for (const tap of this.#borrowed) await giveBackTap(this.namespace, tap);
    if (privilegedPort(this.definition) !== undefined) await deleteNamespace(this.namespace);
  }

  /** Ends the switch and nothing else: as if this process had died, with namespace, devices and hold file for the next. */
  async leave(): Promise<void> {
    await this.#end({ leave: true });
  }

  /** @returns false when it had ended */
  async #end(how: { readonly leave: boolean }): Promise<boolean> {
    if (this.#closed) return false;
    this.#closed = true;
    this.#hold?.abandon();
    await this.#switch.close(how);
    return true;
  }
}

function demandHold(hold: Hold | undefined): Hold {
  if (hold !== undefined) return hold;
  throw new StillwireError('HOLD_EXPIRED', 'the hold ended before the network was open');
}

/** The device dies with its descriptor again; one that is gone already is no error. */
function forget(tunFd: number): void {
  try {
    setTapPersistent(tunFd, false);
  } catch {
    // Deleted beneath us, or the switch thread, dying, has closed it.
  }
}

/** How a datagram pair is known again among the descriptors of a process: the names of its two ends. */
const pairName = ({ socket, otherEnd }: DatagramEnds): string =>
  `${descriptorName(socket)} ${descriptorName(otherEnd)}`;

/**
 * The namespace a network needs, if any.
 * @throws StillwireError NO_PRIVILEGE naming the port that asks for more than this process may do
 */
function namespaceFor(definition: NetworkDefinition): string | undefined {
  const port = privilegedPort(definition);
  if (port === undefined) return undefined;
  if (mayMakeDevices()) return namespaceOf(definition.network);
  throw new StillwireError('NO_PRIVILEGE', `port ${port}, and making one needs root`, { port });
}
