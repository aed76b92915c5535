/**
 * A TAP that somebody else has made: taken into the network's namespace while the network lives, and given back.
 *
 * In the host's namespace its frames would reach the host's stack, and the host's frames it. A netdev that is moved is
 * set down for a moment and loses its addresses (there are none: see guest/adopt-qemu.ts); the hypervisor's descriptor
 * notices nothing. Deleting a namespace deletes the TAPs in it, so it must have been given back before.
 */
import { readFileSync } from 'node:fs';
import { namespacePath } from '../sys/index.js';
import { runProgram } from './namespace.js';

/** What is changed while the TAP is ours, as it was before. */
export interface AdoptedTap {
  /** Its name, here and there. */
  readonly device: string;
  readonly mtu: number;
  /** Frames in its ring, at most (txqueuelen). */
  readonly queueLength: number;
  readonly up: boolean;
}

const IFF_UP = 1;

/** What has to be known to give it back. @throws an error of the file system when there is no such device */
export function describeTap(device: string): AdoptedTap {
  const read = (name: string): number => Number(readFileSync(`/sys/class/net/${device}/${name}`, 'latin1'));
  const up = (read('flags') & IFF_UP) !== 0;
  return { device, mtu: read('mtu'), queueLength: read('tx_queue_len'), up };
}

/** @throws StillwireError NO_PRIVILEGE, SYSCALL */
export async function takeTap(namespace: string, { device }: AdoptedTap): Promise<void> {
  await runProgram('ip', 'link', 'set', 'dev', device, 'netns', namespace);
}

/**
 * Gives a TAP back as it was. One that has gone with its hypervisor is no error.
 * @throws StillwireError SYSCALL when the host has a device of its name by now
 */
export async function giveBackTap(namespace: string, tap: AdoptedTap): Promise<void> {
  const { device, mtu, queueLength, up } = tap;
  const inside = ['nsenter', `--net=${namespacePath(namespace)}`, 'ip', 'link'] as const;
  const exists = await runProgram(...inside, 'show', 'dev', device).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  await runProgram(...inside, 'set', 'dev', device, 'down', 'arp', 'on', 'mtu', String(mtu));
  await runProgram(...inside, 'set', 'dev', device, 'netns', String(process.pid));
  const length = ['txqueuelen', String(queueLength)];
  await runProgram('ip', 'link', 'set', 'dev', device, ...length, ...(up ? ['up'] : []));
}
