/** A network with its guests running on it: what a checkpoint is taken of and a restart brings back. */
import { EventEmitter } from 'node:events';
import { StillwireError } from '../errors/index.js';
import { isAdopted, isDmtcp, nicPort, type NetworkDefinition } from '../definition/index.js';
import { startDmtcp, type DmtcpGroup, type OnForeign } from '../dmtcp/index.js';
import type { PortId } from '../frame/types.js';
import { adoptQemu, restartAdopted, startQemu, type AttachedQemu, type Guest } from '../guest/index.js';
import { Network } from '../network/index.js';
import { closeFd } from '../sys/index.js';
import { openDmtcpGroup } from './dmtcp-guests.js';
import { everyone } from './everyone.js';
import { readStatus, type NetworkStatus } from './status.js';

export interface UpOptions {
  /** Exists; takes the guests' sockets and logs. */
  readonly runDirectory: string;
  readonly signal: AbortSignal;
  /** Told what is being done, for a person. */
  readonly onProgress?: (step: string) => void;
  /** Where frames are kept that wait in a hold, so that they outlive this process. */
  readonly holdFile?: string;
}

/** How one guest of a restart begins. */
export interface Incoming {
  readonly stateFile: string;
  /** Of the checkpoint. */
  readonly checkpointId: string;
  readonly machine?: string;
}

interface LiveNetworkEvents {
  /** A guest's process has ended, whatever the cause. */
  guestEnded: [name: string, reason: string];
  /** These guests go through a checkpoint of DMTCP's that is none of ours. */
  wavedThrough: [guests: readonly string[], reason: string];
  failed: [error: StillwireError];
}

export class LiveNetwork extends EventEmitter<LiveNetworkEvents> {
  readonly network: Network;
  readonly #guests = new Map<string, Guest>();
  /** Guests that were found running: how to let go of each. */
  readonly #letGo = new Map<string, () => Promise<void>>();
  /** Those of them that are somebody else's: they outlive the network. Those we started ourselves, after {@link handOver}. */
  readonly #foreign = new Set<string>();
  /** Of those that run under DMTCP, if any does. */
  #dmtcp: DmtcpGroup | undefined;
  #onForeign: OnForeign | undefined;
  #busy = false;
  #closed = false;

  /** Builds on an open network, which it owns from then on. */
  constructor(network: Network) {
    super();
    this.network = network;
    network.on('failed', (error) => this.emit('failed', error));
  }

  /**
   * Opens the network and boots every guest. A failure leaves nothing behind.
   * @throws StillwireError what opening or starting raised
   */
  static async up(definition: NetworkDefinition, options: UpOptions): Promise<LiveNetwork> {
    options.onProgress?.(`opening network ${definition.network}`);
    const adopted = await adoptAll(definition, options);
    const live = new LiveNetwork(await openWith(definition, adopted, options.holdFile));
    for (const { guest, letGo } of adopted.values()) live.admitFound(guest, letGo);
    try {
      await live.startGuests(options, (name) => (adopted.has(name) ? 'ended' : undefined));
      return live;
    } catch (error) {
      await live.close();
      throw error;
    }
  }

  get definition(): NetworkDefinition {
    return this.network.definition;
  }

  get guests(): ReadonlyMap<string, Guest> {
    return this.#guests;
  }

  /** Starts guests at once: booting, loading a saved state, or (`ended`) not at all. Resolves when all have started. */
  async startGuests(
    { runDirectory, signal, onProgress }: UpOptions,
    incomingOf: (guest: string) => Incoming | 'ended' | undefined,
  ): Promise<void> {
    this.#dmtcp = await openDmtcpGroup(this.definition, runDirectory);
    if (this.#dmtcp !== undefined) {
      this.#dmtcp.onWaved = (names, reason) => this.emit('wavedThrough', names, reason);
      if (this.#onForeign !== undefined) this.#dmtcp.onForeign = this.#onForeign;
    }
    await everyone(Object.entries(this.definition.guests), async ([name, definition]) => {
      const incoming = incomingOf(name);
      if (incoming === 'ended') return;
      const tapFds = definition.nics.map((nic) => this.network.tapFd(nicPort(name, nic.name)));
      const keptFds = definition.nics.flatMap((nic) => this.network.ourEnd(nicPort(name, nic.name)) ?? []);
      const restarting = incoming && {
        incoming: { stateFile: incoming.stateFile },
        ...(incoming.machine === undefined ? {} : { machine: incoming.machine }),
      };
      if (isAdopted(definition)) {
        const { network } = this.definition;
        const { stateFile = '' } = incoming ?? {};
        const options = { network, name, definition, tapFds, runDirectory, stateFile, signal };
        const { guest, letGo, taps } = await restartAdopted(options);
        for (const { fd } of taps) closeFd(fd); // of the TAPs that are the network's already
        this.#admit(guest);
        this.#letGo.set(name, letGo);
      } else if (isDmtcp(definition)) {
        const group = this.#dmtcp!;
        const options = { name, definition, group, tapFds, runDirectory, signal };
        this.#admit(await startDmtcp(incoming === undefined ? options : { ...options, incoming }));
      } else {
        const options = { name, definition, tapFds, keptFds, runDirectory, signal, ...restarting };
        this.#admit(await startQemu(options));
      }
      onProgress?.(`guest ${name} ${incoming === undefined ? 'started' : 'loaded'}`);
    });
  }

  /** Who takes a checkpoint when somebody else has DMTCP begin one; else the guests under it go on without us. */
  set onForeignCheckpoint(take: OnForeign) {
    this.#onForeign = take;
    if (this.#dmtcp !== undefined) this.#dmtcp.onForeign = take;
  }

  #admit(guest: Guest): void {
    this.#guests.set(guest.name, guest);
    void guest.ended.then((reason) => {
      if (!this.#closed) this.emit('guestEnded', guest.name, reason);
    });
  }

  /** Takes in a guest that was found running. @param letGo ends our hold on it, and not the guest */
  admitFound(guest: Guest, letGo: () => Promise<void>): void {
    this.#admit(guest);
    this.#letGo.set(guest.name, letGo);
    if (this.#isAdopted(guest.name)) this.#foreign.add(guest.name);
  }

  /** A restart is done: adopted guests that it started are their owner's from now on, no more killed by {@link close}. */
  handOver(): void {
    for (const name of this.#guests.keys()) if (this.#isAdopted(name)) this.#foreign.add(name);
  }

  #isAdopted(guest: string): boolean {
    const definition = this.definition.guests[guest];
    return definition !== undefined && isAdopted(definition);
  }

  /** Runs `work` while no other checkpoint can begin. @throws StillwireError NETWORK_BUSY, NETWORK_HELD */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const network = this.definition.network;
    if (this.#busy)
      throw new StillwireError('NETWORK_BUSY', `a checkpoint of ${network} is under way`, { network });
    if (this.network.currentHold !== undefined) {
      throw new StillwireError('NETWORK_HELD', `${network} is held`, { network });
    }
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  status(): Promise<NetworkStatus> {
    return readStatus(this.network, this.#guests);
  }

  /** Kills our guests, lets go of somebody else's, and removes the network. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(
      [...this.#guests].map(async ([name, guest]) => {
        if (this.#foreign.has(name)) await this.#letGo.get(name)?.();
        else await guest.kill();
      }),
    );
    await this.#dmtcp?.close();
    await this.network.close();
  }

  /** Lets go of guests that were adopted and of the network, as if this process had died. */
  async leave(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await everyone([...this.#letGo.values()], (letGo) => letGo());
    await this.network.leave();
  }
}

/** Takes up every guest that runs already; a failure lets go of all. */
async function adoptAll(
  { guests }: NetworkDefinition,
  { runDirectory, signal, onProgress }: UpOptions,
): Promise<Map<string, AttachedQemu>> {
  const adopted = new Map<string, AttachedQemu>();
  try {
    await everyone(Object.entries(guests), async ([name, definition]) => {
      if (!isAdopted(definition)) return;
      adopted.set(name, await adoptQemu({ name, definition, runDirectory, signal }));
      onProgress?.(`guest ${name} adopted`);
    });
    return adopted;
  } catch (error) {
    await everyone([...adopted.values()], ({ letGo }) => letGo());
    for (const { taps } of adopted.values()) for (const { fd } of taps) closeFd(fd);
    throw error;
  }
}

/** Opens the network on the TAPs of these guests. */
async function openWith(
  definition: NetworkDefinition,
  adopted: ReadonlyMap<string, AttachedQemu>,
  holdFile: string | undefined,
): Promise<Network> {
  const fds = new Map<PortId, number>();
  for (const [name, { taps }] of adopted) {
    const nics = definition.guests[name]?.nics ?? [];
    for (const [i, { fd }] of taps.entries()) fds.set(nicPort(name, nics[i]!.name), fd);
  }
  try {
    return await Network.open(definition, {
      adopted: fds,
      ...(holdFile === undefined ? {} : { holdFile }),
    });
  } catch (error) {
    await everyone([...adopted.values()], ({ letGo }) => letGo());
    throw error;
  }
}
