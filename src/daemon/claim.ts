/**
 * A daemon's place in the run directory: the lock and the network's own directory, taken together, given up together.
 *
 * Where a daemon died, `up` may find the place furnished: then it is taken as it stands, and until the network lives
 * again (settle) giving it up leaves it so, for the next attempt.
 */
import { mkdir, rm } from 'node:fs/promises';
import type { NetworkDefinition } from '../definition/index.js';
import { StillwireError } from '../errors/index.js';
import { namespaceExists, namespaceOf, type Network } from '../network/index.js';
import { writeDefinition } from './definition-file.js';
import type { Job } from './job.js';
import { NetworkLock } from './lock.js';
import type { Remains } from './remains.js';
import { pathsOf, secureRunDirectory, type NetworkPaths } from './run-directory.js';
import { demandAttachable, leftoversOf, refuseLeftovers } from './stale.js';
import { writeState } from './state-file.js';

export class Claim {
  readonly network: string;
  readonly paths: NetworkPaths;
  /** What a dead daemon left, to be taken up. */
  readonly remains: Remains | undefined;
  readonly #lock: NetworkLock;
  readonly #since: Date;
  #keeps: boolean;

  private constructor(network: string, paths: NetworkPaths, lock: NetworkLock, remains?: Remains) {
    this.network = network;
    this.paths = paths;
    this.remains = remains;
    this.#lock = lock;
    this.#since = new Date(remains?.state?.since ?? Date.now());
    this.#keeps = remains !== undefined;
  }

  /**
   * @throws StillwireError NETWORK_EXISTS, NETWORK_STALE, NAME_INVALID, PATH_TOO_LONG, DIRECTORY_UNSAFE, NO_PRIVILEGE;
   *   nothing is changed then
   */
  static async take(job: Job, definition: NetworkDefinition): Promise<Claim> {
    const { network } = definition;
    const paths = pathsOf(network);
    await secureRunDirectory();
    const lock = await NetworkLock.acquire(paths.lock);
    if (lock === undefined) {
      throw new StillwireError('NETWORK_EXISTS', `network ${network} is running already`, { network });
    }
    try {
      if (job.kind === 'up' && leftoversOf(network, paths).length > 0) {
        return new Claim(network, paths, lock, demandAttachable(definition, paths));
      }
      refuseLeftovers(network, paths);
      await mkdir(paths.directory, { mode: 0o700 });
      const claim = new Claim(network, paths, lock);
      const { state, checkpoints } = job;
      const places = { ...(state && { state }), ...(checkpoints && { checkpoints }) };
      writeDefinition(paths.definition, { definition, ...places });
      claim.record([]);
      return claim;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /**
   * Writes down who would be left if this process died now.
   * @param network once it is whole
   */
  record(
    guests: Iterable<{ readonly name: string; readonly pid: number | undefined }>,
    network?: Pick<Network, 'devices' | 'borrowed'>,
  ): void {
    const namespace = namespaceOf(this.network);
    const whole = network === undefined ? {} : { devices: network.devices, borrowed: network.borrowed };
    writeState(this.paths.state, { namespace, since: this.#since, guests, ...whole });
  }

  /** Whether what is here was here before us, and is to stay if we fail. */
  get keeps(): boolean {
    return this.#keeps;
  }

  /** What was here is ours now, or gone: it goes with us. */
  settle(): void {
    this.#keeps = false;
  }

  /** Removes directory, socket and lock file; while the namespace is there they stay, since `down` finds it by them. */
  async release(): Promise<void> {
    if (this.#keeps || namespaceExists(namespaceOf(this.network))) {
      this.#lock.abandon();
      return;
    }
    await rm(this.paths.socket, { force: true });
    await rm(this.paths.directory, { recursive: true, force: true });
    this.#lock.release();
  }
}
