/**
 * What a daemon that died left behind: guests that run on, a namespace, files. Found by its lock being free while any
 * of these is there; removed by `down`, never by `up`, since the guests may still be of use to somebody.
 *
 * Order of removal: guests first, since a TAP they hold keeps its namespace alive; then the namespace; then files; the
 * lock, held all the while, last.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import { deleteNamespace, namespaceExists, namespaceOf } from '../network/index.js';
import { isLocked, NetworkLock } from './lock.js';
import { namespaceInUse } from './namespace-users.js';
import { networksIn, pathsOf, runDirectory, secureRunDirectory, type NetworkPaths } from './run-directory.js';
import { socketOwners } from './socket-owners.js';
import { isRunning, readState, recordOf, type ProcessRecord } from './state-file.js';

/** How long a killed guest may take to be gone: its memory has to be given back. */
const KILL_BOUND_MS = 10_000;

/** `running`: its daemon lives. `stale`: it died and left things behind. */
export interface RunningNetwork {
  readonly network: string;
  readonly state: 'running' | 'stale';
}

/** What lies about of a network whose lock is free, in words. */
export function leftoversOf(network: string, paths: NetworkPaths): string[] {
  const namespace = namespaceOf(network);
  return [
    ...(namespaceExists(namespace) ? [`namespace ${namespace}`] : []),
    ...[paths.directory, paths.socket].filter(existsSync),
  ];
}

/**
 * Refuses to begin where something is left.
 * @throws StillwireError NETWORK_STALE; NETWORK_EXISTS when a daemon with another run directory lives there
 */
export function refuseLeftovers(network: string, paths: NetworkPaths): void {
  const left = leftoversOf(network, paths);
  if (left.length === 0) return;
  refuseForeign(network);
  const words = `a daemon of ${network} died and left ${left.join(', ')}; \`stillwire down -n ${network}\` removes it`;
  throw new StillwireError('NETWORK_STALE', words, { network, left });
}

function refuseForeign(network: string): void {
  if (!namespaceInUse(namespaceOf(network))) return;
  const words = `network ${network} runs already, under another run directory than ${runDirectory()}`;
  throw new StillwireError('NETWORK_EXISTS', words, { network });
}

/** Every network of the run directory, by name; one that is starting or ending counts as running. */
export async function runningNetworks(): Promise<RunningNetwork[]> {
  const run = runDirectory();
  return (await networksIn(run)).flatMap((network): RunningNetwork[] => {
    const paths = pathsOf(network, run);
    if (isLocked(paths.lock)) return [{ network, state: 'running' }];
    return existsSync(paths.directory) ? [{ network, state: 'stale' }] : [];
  });
}

async function kill(records: readonly ProcessRecord[]): Promise<void> {
  for (const record of records) if (isRunning(record)) process.kill(record.pid, 'SIGKILL');
  const bound = Date.now() + KILL_BOUND_MS;
  for (const record of records) {
    while (isRunning(record)) {
      if (Date.now() > bound) {
        throw new StillwireError('GUEST_FAILED', `process ${record.pid} does not end`, { pid: record.pid });
      }
      await delay(10);
    }
  }
}

/**
 * Removes what a dead daemon left.
 * @throws StillwireError NETWORK_NOT_FOUND when there is nothing; NETWORK_EXISTS when its daemon lives
 */
export async function removeStale(network: string): Promise<void> {
  const paths = pathsOf(network);
  if (leftoversOf(network, paths).length === 0 && !existsSync(paths.lock)) {
    throw new StillwireError('NETWORK_NOT_FOUND', `no network ${network} is running`, { network });
  }
  await secureRunDirectory();
  const lock = await NetworkLock.acquire(paths.lock);
  if (lock === undefined) {
    throw new StillwireError('NETWORK_EXISTS', `the daemon of ${network} lives`, { network });
  }
  try {
    refuseForeign(network);
    const owners = socketOwners(paths.directory).flatMap((pid) => recordOf(pid) ?? []);
    await kill([...(readState(paths.state)?.guests ?? []), ...owners]);
    await deleteNamespace(namespaceOf(network));
    await rm(paths.socket, { force: true });
    await rm(paths.directory, { recursive: true, force: true });
  } finally {
    lock.release();
  }
}
