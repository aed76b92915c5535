/** What a running network occupies on this machine, and what of it is left later: looked at, not believed. */
import { existsSync, statSync } from 'node:fs';
import type { DaemonClient } from '../daemon/index.js';
import { pathsOf } from '../daemon/run-directory.js';
import { isRunning, readState, type ProcessRecord } from '../daemon/state-file.js';
import { runProgram } from '../network/index.js';
import { namespacePath } from '../sys/index.js';
import { StillwireError } from '../errors/index.js';
import { livesInNamespace } from './namespace-threads.js';

export interface Footprint {
  readonly namespace: string;
  /** `net:[INODE]`, as /proc tells it: a namespace lives on without its name while a thread is in it. */
  readonly namespaceLink: string;
  readonly taps: readonly string[];
  readonly guests: readonly (ProcessRecord & { readonly name: string })[];
  readonly daemon: ProcessRecord;
  readonly socket: string;
}

const listTaps = async (namespace: string): Promise<string[]> => {
  const links = await runProgram('ip', '-n', namespace, '-brief', 'link', 'show', 'type', 'tun');
  return links.split('\n').flatMap((line) => line.split(/\s+/)[0] || []);
};

/** @throws StillwireError DAEMON_UNREACHABLE when no daemon of it lives */
export async function footprintOf(network: string): Promise<Footprint> {
  const paths = pathsOf(network);
  const state = readState(paths.state);
  if (state === undefined) {
    throw new StillwireError('DAEMON_UNREACHABLE', `${paths.state} cannot be read`, { network });
  }
  const { namespace, guests, daemon } = state;
  const namespaceLink = `net:[${statSync(namespacePath(namespace)).ino}]`;
  return { namespace, namespaceLink, taps: await listTaps(namespace), guests, daemon, socket: paths.socket };
}

/**
 * Frames that the kernel dropped at the TAPs of a running network since they were made, both ways.
 * @throws StillwireError DAEMON_UNREACHABLE when no daemon of it lives
 */
export async function tapDrops(network: string): Promise<number> {
  const { namespace } = await footprintOf(network);
  const links = JSON.parse(
    await runProgram('ip', '-n', namespace, '-j', '-s', 'link', 'show', 'type', 'tun'),
  ) as readonly {
    readonly stats64?: { readonly rx: { dropped: number }; readonly tx: { dropped: number } };
  }[];
  return links.reduce((sum, { stats64 }) => sum + (stats64?.rx.dropped ?? 0) + (stats64?.tx.dropped ?? 0), 0);
}

/** Frames that the switch of a running network dropped since it began, by reason. */
export async function switchDrops(client: DaemonClient): Promise<Record<string, number>> {
  const drops: Record<string, number> = {};
  for (const { out } of (await client.status()).ports) addDrops(drops, out.reasons);
  return drops;
}

export function addDrops(sum: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [reason, count] of Object.entries(more)) sum[reason] = (sum[reason] ?? 0) + count;
}

export interface Finding {
  readonly what: string;
  readonly gone: boolean;
}

/** Looks for each part. */
export async function lookFor(footprint: Footprint): Promise<Finding[]> {
  const { namespace, namespaceLink, taps, guests, daemon, socket } = footprint;
  const left = await listTaps(namespace).catch(() => []); // no such namespace
  const named = existsSync(namespacePath(namespace));
  return [
    { what: `TAPs ${taps.join(', ')}`, gone: left.length === 0 },
    { what: `namespace ${namespace}`, gone: !named && !livesInNamespace(namespaceLink) },
    ...guests.map((guest) => ({
      what: `guest ${guest.name} (process ${guest.pid})`,
      gone: !isRunning(guest),
    })),
    { what: `daemon (process ${daemon.pid})`, gone: !isRunning(daemon) },
    { what: `socket ${socket}`, gone: !existsSync(socket) },
  ];
}
