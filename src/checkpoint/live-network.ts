/** A network with its guests running on it: what a checkpoint is taken of and a restart brings back. */
import { EventEmitter } from 'node:events';
import { StillwireError } from '../errors/index.js';
import { nicPort, type NetworkDefinition } from '../definition/index.js';
import { startQemu, type Guest } from '../guest/index.js';
import { Network } from '../network/index.js';
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
  readonly machine?: string;
}

interface LiveNetworkEvents {
  /** A guest's process has ended, whatever the cause. */
  guestEnded: [name: string, reason: string];
  failed: [error: StillwireError];
}

export class LiveNetwork extends EventEmitter<LiveNetworkEvents> {
  readonly network: Network;
  readonly #guests = new Map<string, Guest>();
  readonly #letGo: (() => void)[] = [];
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
    const { holdFile } = options;
    const live = new LiveNetwork(await Network.open(definition, holdFile === undefined ? {} : { holdFile }));
    try {
      await live.startGuests(options, () => undefined);
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
    await everyone(Object.entries(this.definition.guests), async ([name, definition]) => {
      const incoming = incomingOf(name);
      if (incoming === 'ended') return;
      const tapFds = definition.nics.map((nic) => this.network.tapFd(nicPort(name, nic.name)));
      const keptFds = definition.nics.flatMap((nic) => this.network.ourEnd(nicPort(name, nic.name)) ?? []);
      const restarting = incoming && {
        incoming: { stateFile: incoming.stateFile },
        ...(incoming.machine === undefined ? {} : { machine: incoming.machine }),
      };
      const guest = await startQemu({
        name,
        definition,
        tapFds,
        keptFds,
        runDirectory,
        signal,
        ...restarting,
      });
      onProgress?.(`guest ${name} ${incoming === undefined ? 'started' : 'loaded'}`);
      this.#admit(guest);
    });
  }

  #admit(guest: Guest): void {
    this.#guests.set(guest.name, guest);
    void guest.ended.then((reason) => {
      if (!this.#closed) this.emit('guestEnded', guest.name, reason);
    });
  }

  /** Takes in a guest that was found running. @param letGo ends our hold on it, and not the guest */
  adopt(guest: Guest, letGo: () => void): void {
    this.#admit(guest);
    this.#letGo.push(letGo);
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

  /** Kills the guests and removes the network. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled([...this.#guests.values()].map((guest) => guest.kill()));
    await this.network.close();
  }

  /** Lets go of guests that were adopted and of the network, as if this process had died. */
  async leave(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const letGo of this.#letGo) letGo();
    await this.network.leave();
  }
}
