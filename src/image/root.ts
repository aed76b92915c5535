/** The directory that checkpoints lie in: made private when missing, refused when others could meddle with it. */
import { constants } from 'node:fs';
import { mkdir, open, realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { StillwireError } from '../errors/index.js';
import { exchangeableBy, isOpenToAll } from '../sys/ownership.js';

/** fsync of a file or directory. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a directory and those above it, each durable in the one above. */
async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncPath(dirname(made));
}

/**
 * Makes `root` (mode 0700) when it is missing, and judges it.
 * @returns its path with all links resolved
 * @throws StillwireError DIRECTORY_UNSAFE when it is owned by a third party (neither this user nor root), or
 *   writable by everyone without the sticky bit, or lies where a third party could exchange it; COMMIT_FAILED when it
 *   cannot be made
 */
export async function secureRoot(root: string): Promise<string> {
  const path = resolve(root);
  try {
    await makeDirectory(path);
  } catch (error) {
    const message = `cannot make ${path}: ${(error as Error).message}`;
    throw new StillwireError('COMMIT_FAILED', message, { path }, error);
  }
  const real = await realpath(path);
  const status = await stat(real);
  const { uid } = status;
  const unsafe = (why: string): never => {
    throw new StillwireError('DIRECTORY_UNSAFE', `${real} ${why}`, { path: real });
  };
  if (uid !== 0 && uid !== process.getuid?.()) unsafe(`is owned by uid ${uid}`);
  if (isOpenToAll(status)) unsafe('is writable by everyone');
  const exchangeable = exchangeableBy(real);
  if (exchangeable !== undefined) unsafe(exchangeable);
  return real;
}
