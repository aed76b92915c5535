/**
 * Which disks a guest under DMTCP can write, without a monitor to ask: the regular files and block devices that its
 * process has open for writing, as /proc shows them, but for what is no disk: its log, its console's, and DMTCP's own.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import type { WritableDisk } from '../guest/guest.js';

/** The access mode in the flags of an open file (open(2)). */
const O_ACCMODE = 3;

/** @param isOurs whether a path is known to be no disk */
export function disksOf(pid: number, isOurs: (path: string) => boolean): WritableDisk[] {
  const disks: WritableDisk[] = [];
  for (const fd of entries(`/proc/${pid}/fd`)) {
    try {
      const path = `/proc/${pid}/fd/${fd}`;
      const file = readlinkSync(path);
      if (!file.startsWith('/') || file.startsWith('/dev/shm/dmtcp') || isOurs(file)) continue;
      const status = statSync(path);
      if (!status.isFile() && !status.isBlockDevice()) continue;
      const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0';
      if ((Number.parseInt(flags, 8) & O_ACCMODE) !== 0) disks.push({ device: `fd ${fd}`, file });
    } catch {
      // closed while we looked
    }
  }
  return disks;
}

/** Files that a guest's character devices write to (`-chardev file`, `pipe`, `logfile=`, `-serial file:`), links resolved. */
export function printedFiles(args: readonly string[]): Set<string> {
  const files = args.flatMap((argument, index) => {
    const option = /^--?(chardev|serial|monitor|parallel)$/.exec(args[index - 1] ?? '')?.[1];
    if (option === undefined) return [];
    const plain = /^(?:file|pipe):(.+)$/.exec(argument)?.[1];
    const named = [...argument.matchAll(/(?:^|,)(?:path|logfile)=((?:[^,]|,,)*)/g)].map(([, path]) => path);
    return [plain, ...named].flatMap((path) => path?.replaceAll(',,', ',') ?? []);
  });
  return new Set(files.flatMap((path) => [path, `${path}.in`, `${path}.out`]).map(resolved));
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // it has just ended
  }
}
