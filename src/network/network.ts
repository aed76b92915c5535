/**
 * A live network: its namespace, its switch thread, its segments and ports. Who runs on the ports is not its concern.
 */
import { EventEmitter } from 'node:events';
import { StillwireError } from '../errors/index.js';
import {
  nicPort,
  privilegedPort,
  type NetworkDefinition,
  type PortDefinition,
} from '../definition/definition.js';
import type { PortId } from '../frame/types.js';
import { mayMakeDevices, namespacePath } from '../sys/index.js';
import { SwitchHandle, type CapturedFrame, type Commands, type Notice } from '../switch/index.js';
import { Hold, type HoldOptions } from './hold.js';
import { LeasedChannel } from './leased-channel.js';
import {
  addAddresses,
  createNamespace,
  createVeth,
  deleteNamespace,
  deleteVeth,
  namespaceOf,
  untilCarrying,
} from './namespace.js';

export type Release = Extract<Notice, { notice: 'released' }>;

interface NetworkEvents {
  /** The switch thread failed; the network is dead. */
  failed: [error: StillwireError];
}

export class Network extends EventEmitter<NetworkEvents> {
  readonly definition: NetworkDefinition;
  readonly #switch: SwitchHandle;
  readonly #tapFds = new Map<PortId, number>();
  #hold: Hold | undefined;
  /** Our ends of the external ports. */
  readonly #veths: string[] = [];
  #opened = 0;
  #closed = false;

  private constructor(definition: NetworkDefinition, handle: SwitchHandle) {
    super();
    this.definition = definition;
    this.#switch = handle;
    handle.on('failed', (error) => this.emit('failed', error));
  }

  /**
   * Creates the namespace (where a port needs one), the switch and every port. Traffic flows when it resolves. A
   * failure leaves nothing.
   * @throws StillwireError NETWORK_STALE, NO_PRIVILEGE, MISSING_PROGRAM, SYSCALL
   */
  static async open(definition: NetworkDefinition): Promise<Network> {
    return (await Network.#open(definition, undefined)).network;
  }

  /**
   * As {@link open}, but held from its first moment: nothing is delivered, and nothing is received before
   * {@link Hold.restore} or the release.
   */
  static async openHeld(
    definition: NetworkDefinition,
    leaseMs: number,
  ): Promise<{ network: Network; hold: Hold }> {
    const { network, hold } = await Network.#open(definition, leaseMs);
    if (hold === undefined)
      throw new StillwireError('HOLD_EXPIRED', 'the hold ended before the network was open');
    return { network, hold };
  }

  static async #open(
    definition: NetworkDefinition,
    leaseMs: number | undefined,
  ): Promise<{ network: Network; hold: Hold | undefined }> {
    const namespace = namespaceFor(definition);
    if (namespace !== undefined) await createNamespace(namespace);
    let network: Network | undefined;
    try {
      const path = namespace === undefined ? undefined : namespacePath(namespace);
      network = new Network(definition, await SwitchHandle.start(path));
      await network.#build(leaseMs);
      return { network, hold: network.#hold };
    } catch (error) {
      await network?.close();
      if (namespace !== undefined && network === undefined) await deleteNamespace(namespace);
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
      for (const { name, segment, mtu, vlan = 0, transport } of nics) {
        const id = nicPort(guest, name);
        if (transport === 'dgram') {
          const { otherEnd } = await this.#switch.call('addDgram', { id, segment, mtu, vlan });
          if (otherEnd !== undefined) this.#tapFds.set(id, otherEnd);
          continue;
        }
        const device = `tap${this.#opened++}`;
        const { tunFd } = await this.#switch.call('addTap', { id, segment, device, mtu, vlan });
        this.#tapFds.set(id, tunFd);
      }
    }
    for (const [id, port] of Object.entries(this.definition.ports)) await this.#addPort(id, port);
  }

  async #addPort(id: PortId, port: PortDefinition): Promise<void> {
    const { segment, mtu, vlan = 0 } = port;
    if (port.kind === 'dgram') {
      const { path, peer } = port;
      await this.#switch.call('addDgram', { id, segment, mtu, vlan, at: { path, peer } });
      return;
    }
    if (port.kind === 'external') {
      const device = `ext${this.#opened++}`;
      await createVeth(this.namespace, device, port);
      this.#veths.push(port.device);
      await this.#switch.call('addExternal', { id, segment, device, mtu, vlan });
      await untilCarrying(port.device);
      return;
    }
    const netns = port.netns === undefined ? '/proc/self/ns/net' : namespacePath(port.netns);
    const mac = port.mac === undefined ? {} : { mac: port.mac };
    await this.#switch.call('addDevice', { id, segment, device: port.device, mtu, vlan, netns, ...mac });
    await addAddresses(netns, port.device, port.addresses);
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
    if (this.#closed) return;
    this.#closed = true;
    this.#hold?.abandon();
    await this.#switch.close();
    for (const device of this.#veths) await deleteVeth(device);
    if (privilegedPort(this.definition) !== undefined) await deleteNamespace(this.namespace);
  }
}

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
