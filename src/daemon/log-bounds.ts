/**
 * Keeps files that others write to without end from filling the disk: what guests print on their consoles, what QEMU
 * says, our own log. A file that has grown over its bound becomes FILE.1, in place of an older one, and begins anew: so
 * the last bound's worth at least is there, and never more than twice that and what comes in within one look.
 *
 * Every writer appends (O_APPEND), so its file can be emptied beneath it; what is written between the copy and that is
 * lost. Only plain files are touched: a console log may be a FIFO, or a terminal.
 */
import { constants } from 'node:fs';
import { copyFile, lstat, open, rm } from 'node:fs/promises';

const LOOK_MS = 1_000;

export interface BoundedFile {
  readonly path: string;
  readonly bytes: number;
}

/** Empties a file that is over its bound, keeping a copy; what is no plain file is left alone. @throws the system's error */
export async function boundFile({ path, bytes }: BoundedFile): Promise<void> {
  const status = await lstat(path);
  if (!status.isFile() || status.size <= bytes) return;
  try {
    await rm(`${path}.1`, { force: true });
    await copyFile(path, `${path}.1`, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  } catch {
    // No room for a copy, or none allowed: then without.
  }
  const file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if ((await file.stat()).isFile()) await file.truncate();
  } finally {
    await file.close();
  }
}

/** Looks at the files every second until the function it returns is called. */
export function keepBounded(files: readonly BoundedFile[]): () => void {
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void Promise.allSettled(files.map(boundFile)).then(() => (looking = false));
  }, LOOK_MS).unref();
  return () => clearInterval(timer);
}
