/**
 * Where checkpoints are kept: STATE/NETWORK/NAME, or directly in the directory a network file names. A directory
 * counts as a checkpoint, sound or damaged, when it has a manifest or a manifest's checksum.
 */
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { StillwireError } from '../errors/index.js';
import { CHECKSUM_FILE, FORMAT, MANIFEST_FILE, MAX_MANIFEST_BYTES, isName } from './manifest.js';
import { partialName } from './partial.js';
import { readBounded, readManifest } from './read.js';
import { syncPath } from './root.js';

/** A checkpoint in a list: what its manifest says, or why it cannot be read. Its other files are not looked at. */
export interface CheckpointSummary {
  /** Name of its directory. */
  readonly name: string;
  /** Network it is stored under; in a directory of its own, the one its manifest names. */
  readonly network?: string;
  readonly path: string;
  readonly takenAt?: string;
  readonly method?: string;
  readonly proven?: boolean;
  readonly inFlightFrames?: number;
  readonly guests?: number;
  /** Of the files the manifest lists. */
  readonly bytes?: number;
  /** Why the manifest was refused. */
  readonly fault?: string;
}

/** The directory STATE: $STILLWIRE_STATE; else /var/lib/stillwire for root, the XDG state directory for others. */
export function stateDirectory(
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
  uid: number | undefined = process.getuid?.(),
): string {
  const { STILLWIRE_STATE: own, XDG_STATE_HOME: xdg, HOME: home } = environment;
  if (own !== undefined && own !== '') return resolve(own);
  if (uid === 0) return '/var/lib/stillwire';
  // A relative path is to be ignored (XDG Base Directory Specification).
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'stillwire');
  return join(home !== undefined && isAbsolute(home) ? home : homedir(), '.local/state/stillwire');
}

/** Where a network's checkpoints go: the directory its file names, or STATE/NETWORK. */
export const checkpointsDirectory = (state: string, network: string, own?: string): string =>
  own === undefined ? join(state, network) : resolve(own);

/** A name for a checkpoint that was given none: the time in UTC, sortable, to the millisecond. */
export const defaultName = (now: Date = new Date()): string => now.toISOString().replaceAll(':', '-');

const isFile = (path: string): Promise<boolean> =>
  lstat(path).then(
    (status) => status.isFile(),
    () => false,
  );

const isDirectory = (path: string): Promise<boolean> =>
  lstat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );

async function hasManifest(directory: string): Promise<boolean> {
  return (await isFile(join(directory, MANIFEST_FILE))) || (await isFile(join(directory, CHECKSUM_FILE)));
}

/** What a directory holds; nothing when there is none. */
async function entriesOf(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw new StillwireError(
      'SYSCALL',
      `${directory} cannot be listed: ${message}`,
      { path: directory },
      error,
    );
  }
}

/** Names of the directories in `directory` that may be networks or checkpoints. */
async function namesIn(directory: string): Promise<string[]> {
  const names = (await entriesOf(directory)).filter(isName).sort();
  const directories = await Promise.all(names.map((name) => isDirectory(join(directory, name))));
  return names.filter((_, i) => directories[i]);
}

interface Place {
  readonly directory: string;
  readonly network?: string;
}

async function placesOf(state: string, network?: string, own?: string): Promise<Place[]> {
  if (own !== undefined) return [{ directory: resolve(own) }];
  const networks = network === undefined ? await namesIn(state) : [network].filter(isName);
  return networks.map((name) => ({ directory: join(resolve(state), name), network: name }));
}

async function summarise({ directory, network }: Place, name: string): Promise<CheckpointSummary> {
  const path = join(directory, name);
  try {
    const manifest = await readManifest(path);
    return {
      name,
      network: network ?? manifest.definition.network,
      path,
      takenAt: manifest.takenAt,
      method: manifest.method,
      proven: manifest.proven,
      inFlightFrames: manifest.inFlightFrames,
      guests: Object.keys(manifest.guests).length,
      bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
    };
  } catch (error) {
    return { name, ...(network !== undefined && { network }), path, fault: (error as Error).message };
  }
}

/**
 * Every stored checkpoint, oldest first; those that cannot be read come last, with their fault.
 * @param network only of this one
 * @param own the directory a network's file names: looked in instead of `state`
 */
export async function listCheckpoints(
  state: string,
  network?: string,
  own?: string,
): Promise<CheckpointSummary[]> {
  const found: CheckpointSummary[] = [];
  for (const place of await placesOf(state, network, own)) {
    for (const name of await namesIn(place.directory)) {
      if (await hasManifest(join(place.directory, name))) found.push(await summarise(place, name));
    }
  }
  const age = ({ takenAt }: CheckpointSummary): number =>
    takenAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(takenAt);
  return found.sort((a, b) => (age(a) === age(b) ? (a.path < b.path ? -1 : 1) : age(a) < age(b) ? -1 : 1));
}

/**
 * The directory of a checkpoint. What has a slash, or is a directory with a manifest, is a path; all else a name.
 * @throws StillwireError CHECKPOINT_NOT_FOUND; CHECKPOINT_AMBIGUOUS when several networks have one of this name
 */
export async function findCheckpoint(
  state: string,
  nameOrPath: string,
  network?: string,
  own?: string,
): Promise<string> {
  const path = resolve(nameOrPath);
  if (nameOrPath !== '' && (await hasManifest(path))) return path;
  const nothing = (where: string): never => {
    throw new StillwireError('CHECKPOINT_NOT_FOUND', `no checkpoint ${nameOrPath}${where}`, {
      name: nameOrPath,
    });
  };
  if (nameOrPath.includes('/') || !isName(nameOrPath)) return nothing('');
  const found: string[] = [];
  for (const { directory } of await placesOf(state, network, own)) {
    if (await hasManifest(join(directory, nameOrPath))) found.push(join(directory, nameOrPath));
  }
  if (found.length > 1) {
    const message = `${found.length} networks have a checkpoint ${nameOrPath}: ${found.join(', ')}`;
    throw new StillwireError('CHECKPOINT_AMBIGUOUS', message, { name: nameOrPath, paths: found });
  }
  return found[0] ?? nothing(network === undefined ? '' : ` of network ${network}`);
}

/** Whether the manifest or its checksum is ours: many programs keep a manifest.json. One of the two may be damaged. */
async function looksOurs(directory: string): Promise<boolean> {
  const read = (file: string): Promise<string> =>
    readBounded(join(directory, file), MAX_MANIFEST_BYTES).then(
      (bytes) => bytes.toString('latin1'),
      () => '',
    );
  return (
    (await read(MANIFEST_FILE)).includes(FORMAT) || / [ *]manifest\.json\s*$/.test(await read(CHECKSUM_FILE))
  );
}

/**
 * Removes a checkpoint, sound or damaged. It is renamed first, so that a half-removed one never looks whole.
 * @throws StillwireError CHECKPOINT_NOT_FOUND when there is none at this path; SYSCALL when it cannot be removed
 */
export async function removeCheckpoint(directory: string): Promise<void> {
  const path = resolve(directory);
  if (!(await isDirectory(path)) || !(await looksOurs(path))) {
    throw new StillwireError('CHECKPOINT_NOT_FOUND', `no checkpoint at ${path}`, { path });
  }
  const parent = dirname(path);
  const doomed = join(parent, partialName(basename(path)));
  try {
    await rename(path, doomed);
    await syncPath(parent);
    await rm(doomed, { recursive: true, force: true });
  } catch (error) {
    const message = `${path} cannot be removed: ${(error as Error).message}`;
    throw new StillwireError('SYSCALL', message, { path }, error);
  }
}
