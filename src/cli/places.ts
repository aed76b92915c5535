/** Where stored checkpoints are looked for: where ./stillwire.yaml says, if it does, and in STATE. */
import { isAbsolute, relative } from 'node:path';
import { readNetworkFile } from '../definition/index.js';
import { StillwireError } from '../errors/index.js';
import { findCheckpoint, listCheckpoints, type CheckpointSummary } from '../image/index.js';
import type { Session } from './session.js';

/** What the network file of the current directory is called. */
export const DEFAULT_FILE = 'stillwire.yaml';

/**
 * The directory that ./stillwire.yaml names for its checkpoints, when it is the network that is meant. A file that is
 * missing or wrong names none: it is `up` that complains.
 */
async function ownDirectory({ flags }: Session): Promise<string | undefined> {
  try {
    const { definition, checkpoints } = await readNetworkFile(DEFAULT_FILE);
    return flags.network === undefined || flags.network === definition.network ? checkpoints : undefined;
  } catch {
    return undefined;
  }
}

export interface Found {
  /** Of the image. */
  readonly path: string;
  /** The directory of its network's own that it lies in. */
  readonly own?: string;
}

/** @throws StillwireError CHECKPOINT_NOT_FOUND, CHECKPOINT_AMBIGUOUS */
export async function find(session: Session, nameOrPath: string): Promise<Found> {
  const { stateDirectory: state, flags } = session;
  const own = await ownDirectory(session);
  const inOwn = own === undefined ? undefined : await findIn(state, nameOrPath, own);
  const path = inOwn ?? (await findCheckpoint(state, nameOrPath, flags.network));
  return { path, ...(own !== undefined && isDirectlyIn(own, path) && { own }) };
}

async function findIn(state: string, nameOrPath: string, own: string): Promise<string | undefined> {
  try {
    return await findCheckpoint(state, nameOrPath, undefined, own);
  } catch (error) {
    if (error instanceof StillwireError && error.code === 'CHECKPOINT_NOT_FOUND') return undefined;
    throw error;
  }
}

function isDirectlyIn(directory: string, path: string): boolean {
  const rest = relative(directory, path);
  return rest !== '' && !rest.includes('/') && !rest.startsWith('..') && !isAbsolute(rest);
}

/** Every stored checkpoint that -n leaves, those of the own directory first. */
export async function listAll(session: Session): Promise<CheckpointSummary[]> {
  const { stateDirectory: state, flags } = session;
  const own = await ownDirectory(session);
  return [
    ...(own === undefined ? [] : await listCheckpoints(state, flags.network, own)),
    ...(await listCheckpoints(state, flags.network)),
  ];
}
