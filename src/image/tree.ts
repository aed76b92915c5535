/** What lies in an image's directory, found without following a link or opening anything but directories. */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Deeper or fuller trees are not images; the bounds keep a hostile directory from costing time and memory. */
const MAX_DEPTH = 32;
const MAX_ENTRIES = 100_000;

export interface ImageTree {
  /** Size in bytes of every regular file, by path relative to the directory. */
  readonly files: ReadonlyMap<string, number>;
  /** Every directory below the top, parents first. */
  readonly directories: readonly string[];
  /** What should not be there: links, devices, unreadable entries. */
  readonly faults: readonly string[];
}

/** A path as it is shown in messages: nothing in it can pass for the message's own words or move a cursor. */
export const quoted = (path: string): string => JSON.stringify(path);

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Lists a directory. Never throws: what cannot be read is a fault. */
export async function listTree(top: string): Promise<ImageTree> {
  const files = new Map<string, number>();
  const directories: string[] = [];
  const faults: string[] = [];
  let entries = 0;

  const visit = async (relative: string): Promise<void> => {
    const status = await lstat(join(top, relative));
    if (status.isFile()) files.set(relative, status.size);
    else if (!status.isDirectory()) faults.push(`${quoted(relative)} is neither a file nor a directory`);
    else if (relative.split('/').length > MAX_DEPTH) faults.push(`${quoted(relative)} lies too deep`);
    else {
      directories.push(relative);
      await descend(relative);
    }
  };

  const descend = async (relative: string): Promise<void> => {
    for (const name of (await readdir(join(top, relative))).sort()) {
      entries += 1;
      if (entries > MAX_ENTRIES) {
        if (entries === MAX_ENTRIES + 1) faults.push(`more than ${MAX_ENTRIES} files and directories`);
        return;
      }
      const below = relative === '' ? name : `${relative}/${name}`;
      try {
        await visit(below);
      } catch (error) {
        faults.push(`${quoted(below)} cannot be read: ${wordsOf(error)}`);
      }
    }
  };

  try {
    await descend('');
  } catch (error) {
    faults.push(`the directory cannot be read: ${wordsOf(error)}`);
  }
  return { files, directories, faults };
}
