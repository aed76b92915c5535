/**
 * Guests by the sockets they made in our run directory. A daemon that dies while it starts guests has not written them
 * down yet; but whoever holds a QMP socket bound in NETWORK/, which only we can write to, is a guest of ours.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const entries = (path: string): string[] => {
  try {
    return readdirSync(path);
  } catch {
    return []; // a process that has just ended
  }
};

/** Inodes of the unix sockets bound below `directory` (proc_net_unix in unix(7): the inode is the seventh word). */
function socketsBelow(directory: string): Set<string> {
  const inodes = new Set<string>();
  for (const line of readFileSync('/proc/net/unix', 'utf8').split('\n').slice(1)) {
    const [, , , , , , inode, ...path] = line.trim().split(/\s+/);
    if (inode !== undefined && path.join(' ').startsWith(`${directory}/`)) inodes.add(`socket:[${inode}]`);
  }
  return inodes;
}

/** Pids of the processes, other than this one, that hold a unix socket bound below `directory`. */
export function socketOwners(directory: string): number[] {
  const sockets = socketsBelow(directory);
  if (sockets.size === 0) return [];
  const owns = (pid: string): boolean =>
    entries(`/proc/${pid}/fd`).some((fd) => {
      try {
        return sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false;
      }
    });
  return entries('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && owns(name))
    .map(Number);
}
