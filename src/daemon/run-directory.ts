/**
 * The run directory: one place per machine (or user) where daemons are found.
 *
 *   NETWORK.sock    the daemon's API, 0660
 *   NETWORK.lock    locked for the daemon's whole life: the truth about who lives (lock.ts)
 *   NETWORK/        0700: guests' sockets and logs, daemon.log, and what the next daemon needs should this one be killed:
 *                   state.json, definition.json, journal.json, held (the files of those names; the hold file)
 */
import { mkdir, readdir, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { StillwireError } from '../errors/index.js';
import { isName } from '../image/index.js';
import { exchangeableBy } from '../sys/index.js';

/** sun_path of unix(7), less the final zero. */
const MAX_SOCKET_PATH_BYTES = 107;
const WORLD_WRITABLE = 0o002;

/** $STILLWIRE_RUN; else /run/stillwire for root, the XDG runtime directory for others. */
export function runDirectory(
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
  uid: number | undefined = process.getuid?.(),
): string {
  const { STILLWIRE_RUN: own, XDG_RUNTIME_DIR: xdg } = environment;
  if (own !== undefined && own !== '') return resolve(own);
  if (uid === 0) return '/run/stillwire';
  const base = xdg !== undefined && isAbsolute(xdg) ? xdg : `/run/user/${uid ?? ''}`;
  return join(base, 'stillwire');
}

/** Where one network's things lie. */
export interface NetworkPaths {
  readonly socket: string;
  readonly lock: string;
  readonly directory: string;
  readonly log: string;
  readonly state: string;
  readonly definition: string;
  readonly journal: string;
  /** What waits in a hold (hold-queue/store.ts). */
  readonly held: string;
}

/** @throws StillwireError NAME_INVALID; PATH_TOO_LONG when the socket's path would be */
export function pathsOf(network: string, run = runDirectory()): NetworkPaths {
  if (!isName(network)) {
    throw new StillwireError('NAME_INVALID', `${JSON.stringify(network)} is not a valid name of a network`);
  }
  const socket = join(run, `${network}.sock`);
  const bytes = Buffer.byteLength(socket);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    const message = `${socket} is ${bytes} bytes long, a socket's path takes ${MAX_SOCKET_PATH_BYTES}`;
    throw new StillwireError('PATH_TOO_LONG', message, { path: socket });
  }
  const directory = join(run, network);
  return {
    socket,
    lock: join(run, `${network}.lock`),
    directory,
    log: join(directory, 'daemon.log'),
    state: join(directory, 'state.json'),
    definition: join(directory, 'definition.json'),
    journal: join(directory, 'journal.json'),
    held: join(directory, 'held'),
  };
}

/**
 * Makes the run directory (0755) when it is missing, and judges it: who may write in it could put a socket of his own
 * where clients look for the daemon's, and so could who may exchange it.
 * @throws StillwireError DIRECTORY_UNSAFE; NO_PRIVILEGE or SYSCALL when it cannot be made
 */
export async function secureRunDirectory(path = runDirectory()): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const denied = code === 'EACCES' || code === 'EPERM';
    throw new StillwireError(
      denied ? 'NO_PRIVILEGE' : 'SYSCALL',
      `cannot make ${path}: ${message}`,
      { path },
      error,
    );
  }
  const real = await realpath(path);
  const { uid, mode } = await stat(real);
  const unsafe = (why: string): never => {
    throw new StillwireError('DIRECTORY_UNSAFE', `${path} ${why}`, { path });
  };
  if (uid !== 0 && uid !== process.getuid?.()) unsafe(`is owned by uid ${uid}`);
  if ((mode & WORLD_WRITABLE) !== 0) unsafe('is writable by everyone');
  const exchangeable = exchangeableBy(real);
  if (exchangeable !== undefined) unsafe(exchangeable);
}

/** Names of networks that have a lock or a directory here, living or not. */
export async function networksIn(run = runDirectory()): Promise<string[]> {
  const entries = await readdir(run, { withFileTypes: true }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  const names = entries.flatMap((entry) => {
    if (entry.isDirectory()) return [entry.name];
    return entry.name.endsWith('.lock') ? [entry.name.slice(0, -'.lock'.length)] : [];
  });
  return [...new Set(names)].filter(isName).sort();
}
