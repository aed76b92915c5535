/**
 * Network namespaces. A namespace is entered by one thread only (setns(2) changes the calling thread), so that the
 * switch lives inside it while the process stays outside; a tun descriptor works from anywhere.
 */
import { writeFileSync } from 'node:fs';
import { check, EPERM, errno, native, systemError } from './libc.js';
import { closeFd, O_RDONLY, openFd } from './fd.js';

const CLONE_NEWNET = 0x40000000;
const cUnshare = native<[number]>('int unshare(int flags)');
const cSetns = native<[number, number]>('int setns(int fd, int type)');

/** Where `ip netns` keeps its names. */
export const namespacePath = (name: string): string => (name.includes('/') ? name : `/run/netns/${name}`);

/** Moves the calling thread into a namespace, for good. Call it from a worker thread, never from the main one. */
export function enterNamespace(path: string): void {
  const fd = openFd(path, O_RDONLY);
  try {
    check(cSetns(fd, CLONE_NEWNET), 'setns', path);
  } finally {
    closeFd(fd);
  }
}

/**
 * Moves the calling thread into a new, nameless namespace that ends with it. Call it from a worker thread.
 * @returns false when this process may make none
 */
export function leaveNamespace(): boolean {
  if (cUnshare(CLONE_NEWNET) === 0) return true;
  const code = errno();
  if (code === EPERM) return false;
  throw systemError(code, 'unshare', 'CLONE_NEWNET');
}

/**
 * Keeps the kernel's own IP stack silent in the calling thread's namespace: no IPv6 address, no router solicitation,
 * no MLD report would otherwise come from our side of a device. Must precede the devices.
 */
export function silenceNamespace(): void {
  for (const scope of ['all', 'default']) {
    try {
      writeFileSync(`/proc/sys/net/ipv6/conf/${scope}/disable_ipv6`, '1');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // a kernel without IPv6 is silent already
    }
  }
}
