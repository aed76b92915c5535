/**
 * A live network: its namespace, its switch thread, its segments, its ports (ports.ts) and its holds. Who runs on
 * the ports is not its concern.
 */
import { EventEmitter } from 'node:events';
import { StillwireError } from '../errors/index.js';
import { privilegedPort, type NetworkDefinition } from '../definition/definition.js';
import type { PortId } from '../frame/types.js';
import { closeFd, mayMakeDevices, namespacePath } from '../sys/index.js';
import { SwitchHandle, type CapturedFrame, type Commands, type Notice } from '../switch/index.js';
import type { AdoptedTap } from './adopted-tap.js';
import { Hold, type HoldOptions } from './hold.js';
import { LeasedChannel } from './leased-channel.js';
import { createNamespace, deleteNamespace, namespaceExists, namespaceOf } from './namespace.js';
import { Ports, type Findings, type Remains } from './ports.js';

export type Release = Extract<Notice, { notice: 'released' }>;

interface NetworkEvents {
  /** The switch thread failed; the network is dead. */
  failed: [error: StillwireError];
  /** What is held would not survive this process: the hold file cannot take it. */
  unsafe: [reason: string];
}

export interface OpenOptions {
  /** Keeps what is held when the process is killed; see hold-queue/recover.ts. Removed at {@link Network.close}. */
  readonly holdFile?: string;
  /** Descriptors of the TAPs of adopted guests, by port; the network's from then on. Absent: their TAPs are made. */
  readonly adopted?: ReadonlyMap<PortId, number>;
}

export class Network extends EventEmitter<NetworkEvents> {
  readonly definition: NetworkDefinition;
  readonly #switch: SwitchHandle;
  readonly #ports: Ports;
  #hold: Hold | undefined;
  #closed = false;

  private constructor(definition: NetworkDefinition, handle: SwitchHandle, found: Findings) {
    super();
    this.definition = definition;
    this.#switch = handle;
    this.#ports = new Ports(definition, handle, found);
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
      network = new Network(definition, handle, { ...remains, taps, pairs });
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
    const taps = new Map(options.adopted);
    let network: Network | undefined;
    try {
      if (namespace !== undefined) await createNamespace(namespace);
      try {
        const path = namespace && namespacePath(namespace);
        network = new Network(definition, await SwitchHandle.start(path, options), {
          taps,
          pairs: new Map(),
        });
        await network.#build(leaseMs);
        return { network, hold: network.#hold };
      } catch (error) {
        await network?.close();
        if (namespace !== undefined && network === undefined) await deleteNamespace(namespace);
        throw error;
      }
    } catch (error) {
      for (const fd of taps.values()) closeFd(fd);
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
    await this.#ports.open();
  }

  /** TAPs of adopted guests, as they are to be given back. */
  get borrowed(): readonly AdoptedTap[] {
    return this.#ports.borrowed;
  }

  /** The netdev of every port, or what stands in its place (names of sockets, a path): what {@link attachHeld} needs to know after this process. */
  get devices(): Readonly<Record<PortId, string>> {
    return this.#ports.devices;
  }

  /**
   * Lets the netdevs of device ports outlive this process, should it be killed: a container keeps its interface, with
   * addresses and routes. {@link close} removes them all the same. Call it when {@link devices} has been written down.
   */
  outlive(): void {
    this.#ports.outlive();
  }

  /**
   * Our descriptor of a guest's TAP, or of its end of a datagram pair, to be inherited by its hypervisor. It stays
   * ours.
   */
  tapFd(id: PortId): number {
    return this.#ports.tapFd(id);
  }

  /**
   * Our end of a guest's datagram pair; undefined for a TAP. Its hypervisor is to inherit it too, unused: so it outlives
   * us, with what lies in it.
   */
  ourEnd(id: PortId): number | undefined {
    return this.#ports.ourEnd(id);
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
    if (!this.#closed) this.#ports.dieWithSwitch();
    if (!(await this.#end({ leave: false }))) return;
    await this.#ports.leaveHost();
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
