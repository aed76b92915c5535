/** A daemon's place in the run directory: the lock and the network's own directory, taken together, given up together. */
import { mkdir, rm } from 'node:fs/promises';
import { StillwireError } from '../errors/index.js';
import { namespaceExists, namespaceOf } from '../network/index.js';
import { NetworkLock } from './lock.js';
import { pathsOf, secureRunDirectory, type NetworkPaths } from './run-directory.js';
import { refuseLeftovers } from './stale.js';
import { writeState } from './state-file.js';

export class Claim {
  readonly network: string;
  readonly paths: NetworkPaths;
  readonly #lock: NetworkLock;
  readonly #since = new Date();

  private constructor(network: string, paths: NetworkPaths, lock: NetworkLock) {
    this.network = network;
    this.paths = paths;
    this.#lock = lock;
  }

  /**
   * @throws StillwireError NETWORK_EXISTS, NETWORK_STALE, NAME_INVALID, PATH_TOO_LONG, DIRECTORY_UNSAFE, NO_PRIVILEGE;
   *   nothing is left then
   */
  static async take(network: string): Promise<Claim> {
    const paths = pathsOf(network);
    await secureRunDirectory();
    const lock = await NetworkLock.acquire(paths.lock);
    if (lock === undefined) {
      throw new StillwireError('NETWORK_EXISTS', `network ${network} is running already`, { network });
    }
    try {
      refuseLeftovers(network, paths);
      await mkdir(paths.directory, { mode: 0o700 });
      const claim = new Claim(network, paths, lock);
      claim.record([]);
      return claim;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Writes down who would be left if this process died now. */
  record(guests: Iterable<{ readonly name: string; readonly pid: number | undefined }>): void {
    writeState(this.paths.state, { namespace: namespaceOf(this.network), since: this.#since, guests });
  }

  /** Removes directory, socket and lock file; while the namespace is there they stay, since `down` finds it by them. */
  async release(): Promise<void> {
    if (namespaceExists(namespaceOf(this.network))) {
      this.#lock.abandon();
      return;
    }
    await rm(this.paths.socket, { force: true });
    await rm(this.paths.directory, { recursive: true, force: true });
    this.#lock.release();
  }
}
