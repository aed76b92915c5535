/** The smallest QEMU guest: SeaBIOS without anything to boot. Its clock is the BIOS's own, 18.2 ticks a second. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Guest } from '../../src/guest/guest.js';
import { startQemu, type StartQemuOptions } from '../../src/guest/qemu.js';
import { QmpClient } from '../../src/guest/qmp.js';
import type { QemuDefinition } from '../../src/definition/definition.js';

export const QEMU = execFileSync('sh', ['-c', 'command -v qemu-system-x86_64']).toString().trim();

export const DEFINITION: QemuDefinition = {
  qemu: QEMU,
  accel: 'tcg',
  machine: 'q35',
  cpus: 1,
  memory: 64,
  args: [],
  nics: [],
};

/** Ticks since power on (BIOS data area, 0040:006C). */
const TICKS_AT = 0x46c;

/** A monitor of the test's own, through the user's arguments: what we observe is not observed through our own door. */
const monitorPath = (directory: string, name: string): string => join(directory, `${name}.monitor`);
const directories = new WeakMap<Guest, string>();

export async function startMachine(
  name: string,
  directory: string,
  definition: Partial<QemuDefinition> = {},
  options: Partial<StartQemuOptions> = {},
): Promise<Guest> {
  const args = [
    '-qmp',
    `unix:${monitorPath(directory, name)},server=on,wait=off`,
    ...(definition.args ?? []),
  ];
  const guest = await startQemu({
    name,
    definition: { ...DEFINITION, ...definition, args },
    tapFds: [],
    runDirectory: directory,
    signal: new AbortController().signal,
    ...options,
  });
  directories.set(guest, directory);
  return guest;
}

/** Runs one QMP command on the test's own monitor. */
export async function monitor(
  guest: Guest,
  command: string,
  args: Record<string, unknown> = {},
): Promise<unknown> {
  const path = monitorPath(directories.get(guest)!, guest.name);
  const qmp = await QmpClient.connect(path, { guest: guest.name, timeoutMs: 10_000 });
  try {
    return await qmp.execute(command, args);
  } finally {
    qmp.close();
  }
}

export async function ticks(guest: Guest): Promise<number> {
  const line = `xp /1wx ${TICKS_AT}`;
  const text = String(await monitor(guest, 'human-monitor-command', { 'command-line': line }));
  return Number.parseInt(/: (0x[0-9a-f]+)/.exec(text)![1]!, 16);
}

/** Waits until the BIOS has done its work and its clock goes. */
export async function booted(guest: Guest): Promise<Guest> {
  while ((await ticks(guest)) === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  return guest;
}
