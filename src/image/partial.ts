/**
 * Directories that are not checkpoints (yet, or no longer): an image being written, or being removed. Their name,
 * `.NAME.partial-PID-START-PLACE-RANDOM`, begins with a dot, which no checkpoint's can, and says whose they are, so
 * that what a dead process left can be told from what a living one is writing.
 *
 * A process id says nothing after a reboot or in another container on the same storage. PLACE stands for the boot
 * and the pid namespace; a partial directory of another place is only given up when a day old.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const FOREIGN_AGE_MS = 24 * 60 * 60 * 1000;
const PARTIAL = /^\..{1,64}\.partial-(\d+)-(\d+)-([0-9a-f]{8})-[0-9a-f]{12}$/;

function place(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const namespace = readlinkSync('/proc/self/ns/pid');
  return createHash('sha256').update(`${boot} ${namespace}`).digest('hex').slice(0, 8);
}

/** Start time of a process in clock ticks since boot (proc(5), stat field 22); undefined when it has ended. */
function startTime(pid: number): string | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command name may hold blanks and parentheses; the fields after it begin with the state.
    const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** A fresh name for a partial directory of this process. */
export function partialName(name: string): string {
  const start = startTime(process.pid) ?? '0';
  return `.${name.slice(0, 64)}.partial-${process.pid}-${start}-${place()}-${randomBytes(6).toString('hex')}`;
}

async function isStale(root: string, name: string): Promise<boolean> {
  const [, pid, start, where] = PARTIAL.exec(name) ?? [];
  if (pid === undefined) return false;
  if (where === place()) return startTime(Number(pid)) !== start;
  const { mtimeMs } = await stat(join(root, name));
  return Date.now() - mtimeMs > FOREIGN_AGE_MS;
}

/**
 * Removes the partial directories in `root` whose process has ended. What cannot be removed is left and skipped.
 * @returns the names removed
 */
export async function sweepPartials(root: string): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(root).catch(() => [])) {
    try {
      if (!(await isStale(root, name))) continue;
      await rm(join(root, name), { recursive: true, force: true });
      removed.push(name);
    } catch {
      // Gone already, or not ours to remove.
    }
  }
  return removed;
}
