/**
 * What a daemon that died left behind: guests that run on, a namespace, files. Found by its lock being free while any
 * of these is there; taken up again by `up` (recover.ts) where that can be, removed by `down`, and never by `up`, since
 * the guests may still be of use to somebody.
 *
 * Order of removal: guests first, since a TAP they hold keeps its namespace alive; then the namespace; then files; the
 * lock, held all the while, last.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { dirname, join } from 'node:path';
import { isAdopted, type NetworkDefinition } from '../definition/index.js';
import { StillwireError } from '../errors/index.js';
import { qmpSocketOf, resumeByMonitor } from '../guest/index.js';
import { sweepPartials } from '../image/index.js';
import { deleteNamespace, deleteTap, giveBackTap, namespaceExists, namespaceOf } from '../network/index.js';
import { namespacePath } from '../sys/index.js';
import { differences } from './definition-file.js';
import { isLocked, NetworkLock } from './lock.js';
import { namespaceInUse } from './namespace-users.js';
import { adviceOf, doingOf, isAttachable, readRemains, toResume, type Remains } from './remains.js';
import { networksIn, pathsOf, runDirectory, secureRunDirectory, type NetworkPaths } from './run-directory.js';
import { socketOwners } from './socket-owners.js';
import { isRunning, recordOf, type ProcessRecord } from './state-file.js';

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
  if (leftoversOf(network, paths).length === 0) return;
  refuseForeign(network);
  throw staleError(readRemains(network, paths));
}

/**
 * What a dead daemon left of a network, if it can be taken up as this definition.
 * @throws StillwireError NETWORK_STALE saying why it cannot; NETWORK_EXISTS as above
 */
export function demandAttachable(definition: NetworkDefinition, paths: NetworkPaths): Remains {
  const { network } = definition;
  refuseForeign(network);
  const remains = readRemains(network, paths);
  const { journal } = remains;
  if (typeof journal === 'object' && journal.phase === 'killing') return remains; // to be finished, whatever lives
  if (!isAttachable(remains)) throw staleError(remains);
  const differing = differences(remains.stored.definition, definition);
  if (differing.length === 0) return remains;
  const words = `a daemon of ${network} died, and what it left is not what the file describes: ${differing.join('; ')}; \`stillwire down -n ${network}\` ends it`;
  throw new StillwireError('NETWORK_STALE', words, { network, differences: differing });
}

/** Says what died, in the middle of what, and what to do. */
export function staleError(
  remains: Remains,
  code: 'NETWORK_STALE' | 'DAEMON_UNREACHABLE' = 'NETWORK_STALE',
): StillwireError {
  const { network } = remains;
  const doing = doingOf(remains);
  const during = doing === undefined ? '' : ` during ${doing}`;
  const words = `the daemon of ${network} died${during}; ${adviceOf(remains)}`;
  return new StillwireError(code, words, { network, stale: true });
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
 * Ends and removes all that a dead daemon left, but for the lock, which the caller holds. Can be done again.
 * @param adoptedToo adopted guests are ended as well: they are to live on in a checkpoint
 */
export async function removeRemains(network: string, paths: NetworkPaths, adoptedToo = false): Promise<void> {
  const remains = readRemains(network, paths);
  const { state, stored, journal } = remains;
  const owners = (await socketOwners(paths.directory)).flatMap((pid) => recordOf(pid) ?? []);
  const adopted = new Set(
    Object.entries(stored?.definition.guests ?? {}).flatMap(([name, guest]) =>
      isAdopted(guest) && !adoptedToo ? name : [],
    ),
  );
  await kill([...(state?.guests ?? []).filter(({ name }) => !adopted.has(name)), ...owners]);
  await letGo(remains, paths, adopted);
  // Device ports outlive a daemon from the moment their devices are written down.
  for (const port of state?.devices === undefined ? [] : Object.values(stored?.definition.ports ?? {})) {
    if (port.kind !== 'device') continue;
    await deleteTap(port.netns === undefined ? '/proc/self/ns/net' : namespacePath(port.netns), port.device);
  }
  await deleteNamespace(namespaceOf(network));
  await removeDrafts(journal);
  await rm(paths.socket, { force: true });
  await rm(paths.directory, { recursive: true, force: true });
}

/** Somebody else's guests run on, with their TAPs back where they were. */
async function letGo(
  remains: Remains,
  { directory }: NetworkPaths,
  adopted: ReadonlySet<string>,
): Promise<void> {
  for (const name of toResume(remains)) {
    const definition = remains.stored?.definition.guests[name];
    if (definition === undefined || !adopted.has(name) || !remains.alive.includes(name)) continue;
    await resumeByMonitor(name, qmpSocketOf(name, definition, directory));
  }
  for (const tap of remains.state?.borrowed ?? []) await giveBackTap(namespaceOf(remains.network), tap);
}

/** Removes half images: of the checkpoint in the journal, and of any dead process in its directory. @returns their paths */
export async function removeDrafts(journal: Remains['journal']): Promise<string[]> {
  if (typeof journal !== 'object' || !('checkpoint' in journal)) return [];
  const root = dirname(journal.checkpoint.draft);
  return (await sweepPartials(root)).map((name) => join(root, name));
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
    await removeRemains(network, paths);
  } finally {
    lock.release();
  }
}
