/** What a run was made on, for whoever reads its figures; nothing that names the machine or its place. */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CarrierKind } from './carrier.js';
import type { Ground } from './ground.js';

export interface Machine {
  readonly cpu: string;
  readonly processors: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  /** Versions of what Stillwire is compared with, and of QEMU, where there is one. */
  readonly versions: Readonly<Record<string, string>>;
  /** Of all processors' time in the second before the run, what nobody used, in percent. */
  readonly idlePercent: number;
}

export async function describeMachine(ground: Ground, kinds: readonly CarrierKind[]): Promise<Machine> {
  const versions: Record<string, string> = {};
  for (const kind of kinds) {
    const version = await kind.version?.(ground);
    if (version !== undefined) versions[kind.name] = version;
  }
  const qemu = await ground.run({}, 'qemu-system-x86_64', '--version').catch(() => '');
  const found = /version (\S+)/.exec(qemu)?.[1];
  if (found !== undefined) versions['QEMU'] = found;
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    processors: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    versions,
    idlePercent: await idlePercent(),
  };
}

/** proc_stat(5): the fields behind `cpu` are ticks; idle and iowait are the fourth and fifth. */
function ticks(): { idle: number; all: number } {
  const line = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0] ?? '';
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { idle: (fields[3] ?? 0) + (fields[4] ?? 0), all: fields.reduce((sum, each) => sum + each, 0) };
}

async function idlePercent(): Promise<number> {
  const before = ticks();
  await sleep(1000);
  const after = ticks();
  return Math.round((100 * (after.idle - before.idle)) / (after.all - before.all));
}
