/**
 * Guests by the sockets they made in our run directory. A daemon that dies while it starts guests has not written them
 * down yet; but whoever listens on a QMP socket in NETWORK/, which only we can write to, is a guest of ours.
 *
 * They are going to be killed, so who it is has to be sure. The paths of /proc/net/unix are only words: another user may
 * bind the same ones in a mount namespace of his own. So each socket that really is in the directory is connected to, and
 * the kernel tells who listens (SO_PEERCRED); he must be the owner of the directory. And since the pid it tells may be
 * another's by now, that process must have a socket of this path open.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { descriptorOf } from '../guest/qmp-connect.js';
import { peerCredentials, type PeerCredentials } from '../sys/index.js';

const entries = (path: string): string[] => {
  try {
    return readdirSync(path);
  } catch {
    return []; // it has just ended, or there is none
  }
};

const isSocket = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;

/** Inodes of the unix sockets bound to `path` (proc_net_unix in unix(7): the inode is the seventh word), as /proc/PID/fd has them. */
function inodesOf(path: string): Set<string> {
  const inodes = new Set<string>();
  for (const line of readFileSync('/proc/net/unix', 'utf8').split('\n').slice(1)) {
    const [, , , , , , inode, ...words] = line.trim().split(/\s+/);
    if (inode !== undefined && words.join(' ') === path) inodes.add(`socket:[${inode}]`);
  }
  return inodes;
}

function holdsSocket(pid: number, path: string): boolean {
  const inodes = inodesOf(path);
  return entries(`/proc/${pid}/fd`).some((fd) => {
    try {
      return inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return false; // closed while we looked
    }
  });
}

/** Who listens on a socket; undefined when nobody does. */
function listenerOf(path: string): Promise<PeerCredentials | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('error', () => resolve(undefined));
    socket.once('connect', () => {
      const peer = peerCredentials(descriptorOf(socket));
      socket.destroy();
      resolve(peer);
    });
  });
}

/** Pids of the processes, other than this one, that listen on a unix socket in `directory` and are its owner's. */
export async function socketOwners(directory: string): Promise<number[]> {
  const pids = new Set<number>();
  for (const path of entries(directory).map((name) => join(directory, name))) {
    if (!isSocket(path)) continue;
    const peer = await listenerOf(path);
    if (peer === undefined || peer.pid === process.pid || peer.uid !== statSync(directory).uid) continue;
    if (holdsSocket(peer.pid, path)) pids.add(peer.pid);
  }
  return [...pids];
}
