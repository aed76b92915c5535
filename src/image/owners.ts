/**
 * Whose an image is. A restart runs the programs that the image names, with its arguments: so whoever could change one
 * of its files between now and then decides what runs. Reading an image (verify, show, frames) asks for none of this.
 */
import { lstat, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { StillwireError } from '../errors/index.js';
import { isOpenToAll, isStranger } from '../sys/ownership.js';
import { listTree, quoted } from './tree.js';

/** @throws StillwireError DIRECTORY_UNSAFE naming the first part that a stranger owns or everyone may write to */
export async function demandOwnImage(directory: string): Promise<void> {
  const top = await realpath(directory); // a link to it may be anybody's, what it leads to was verified
  const { files, directories } = await listTree(top);
  for (const path of ['.', ...directories, ...files.keys()]) {
    const status = await lstat(join(top, path));
    const why = isStranger(status.uid)
      ? `is owned by uid ${status.uid}`
      : isOpenToAll(status) && 'is writable by everyone';
    if (why === false) continue;
    const words = `${top}: ${path === '.' ? 'the directory' : quoted(path)} ${why}; a restart runs what it says`;
    throw new StillwireError('DIRECTORY_UNSAFE', words, { path: join(top, path) });
  }
}
