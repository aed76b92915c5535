/**
 * Who could exchange a file or directory behind our back: whoever owns it, whoever owns a directory above it, and
 * everyone where everyone may write. Trusted are root, the user who runs us, and the user who ran us by sudo(8), who
 * could have done anything anyway. A group that may write is its owner's choice and not questioned.
 */
import { statSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';

const WORLD_WRITABLE = 0o002;
const STICKY = 0o1000;

/** Whether somebody of this uid has no business here. */
export function isStranger(uid: number): boolean {
  const own = process.getuid?.();
  if (uid === 0 || uid === own) return false;
  return own !== 0 || String(uid) !== process.env['SUDO_UID'];
}

/** Everyone may write, and may remove what is others' (not so in a sticky directory: inode(7)). */
export const isOpenToAll = ({ mode }: Pick<Stats, 'mode'>): boolean =>
  (mode & WORLD_WRITABLE) !== 0 && (mode & STICKY) === 0;

/**
 * Why the directory at `path` could be exchanged by way of one above it; undefined when it could not.
 * @param path absolute, without links (realpath(3))
 */
export function exchangeableBy(path: string): string | undefined {
  for (let above = dirname(path); ; above = dirname(above)) {
    const status = statSync(above);
    if (isStranger(status.uid)) return `lies in ${above}, which is owned by uid ${status.uid}`;
    if (isOpenToAll(status)) return `lies in ${above}, which is writable by everyone`;
    if (above === dirname(above)) return undefined;
  }
}
