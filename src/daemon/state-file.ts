/**
 * state.json: what a daemon would leave behind if it died now, so that `down` can remove exactly that, and the next
 * `up` take exactly that up again.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { AdoptedTap } from '../network/index.js';
import { startTimeOf } from '../sys/index.js';

const processRecord = z.object({
  pid: z.int().min(1),
  /** Clock ticks from boot to the process's start (proc_pid_stat(5), field 22): a pid alone may be another's by now. */
  startTime: z.string(),
});

const schema = z.object({
  /** Of /proc/sys/kernel/random/boot_id: pids and start times mean nothing after a reboot. */
  bootId: z.string(),
  daemon: processRecord,
  namespace: z.string(),
  /** ISO 8601. */
  since: z.string(),
  guests: z.array(processRecord.extend({ name: z.string() })),
  /** The netdev of every port. Absent until the network is whole: before that there is nothing to be taken up. */
  devices: z.record(z.string(), z.string()).exactOptional(),
  /** TAPs of adopted guests, as they are to be given back. */
  borrowed: z
    .array(z.object({ device: z.string(), mtu: z.number(), queueLength: z.number(), up: z.boolean() }))
    .exactOptional(),
});

export type ProcessRecord = z.infer<typeof processRecord>;
export type State = z.infer<typeof schema>;

export const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();

/** The process as it can be found again; undefined when it has ended. */
export function recordOf(pid: number): ProcessRecord | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** Whether the very process of the record runs. */
export const isRunning = (record: ProcessRecord): boolean =>
  recordOf(record.pid)?.startTime === record.startTime;

interface Facts {
  readonly namespace: string;
  readonly since: Date;
  readonly guests: Iterable<{ readonly name: string; readonly pid: number | undefined }>;
  readonly devices?: Readonly<Record<string, string>>;
  readonly borrowed?: readonly AdoptedTap[];
}

/** Writes the state of a network that this process runs. A reader sees the old one or the new one. */
export function writeState(path: string, { namespace, since, guests, devices, borrowed }: Facts): void {
  const running = [...guests].flatMap(({ name, pid }) => {
    const record = pid === undefined ? undefined : recordOf(pid);
    return record === undefined ? [] : [{ name, ...record }];
  });
  const state: State = {
    bootId: bootId(),
    daemon: recordOf(process.pid)!,
    namespace,
    since: since.toISOString(),
    guests: running,
    ...(devices === undefined ? {} : { devices }),
    ...(borrowed === undefined ? {} : { borrowed: [...borrowed] }),
  };
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Undefined when there is none, or it is of another boot, or damaged: then there is nobody to be found by it. */
export function readState(path: string): State | undefined {
  try {
    const state = schema.parse(JSON.parse(readFileSync(path, 'utf8')));
    return state.bootId === bootId() ? state : undefined;
  } catch {
    return undefined;
  }
}
