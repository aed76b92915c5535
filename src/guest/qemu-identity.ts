/** What a restart must find again, asked of the running QEMU rather than read from the definition. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { StillwireError } from '../errors/index.js';
import type { QemuDefinition } from '../definition/definition.js';
import type { GuestIdentity } from './guest.js';
import { ask, CpusAnswer, MemoryAnswer, VersionAnswer } from './qemu-answers.js';
import type { QmpClient } from './qmp.js';

const MIB = 1024 * 1024;

const known = new Map<string, Promise<string>>();

/** sha256 of a file, in hex, read piece by piece so that nothing else waits. */
async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** The same, once for as long as the file is unchanged by its inode, size and times: guests share their kernels. */
async function hashOnce(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  const key = [path, dev, ino, size, mtimeNs, ctimeNs].join(':');
  let hash = known.get(key);
  if (hash === undefined) known.set(key, (hash = hashFile(path)));
  return hash;
}

/**
 * sha256 of the files a guest is started from, by role.
 * @throws StillwireError GUEST_FAILED naming a file that cannot be read
 */
export async function hashBootFiles(
  guest: string,
  definition: Partial<Pick<QemuDefinition, 'kernel' | 'initrd'>>,
): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const role of ['kernel', 'initrd'] as const) {
    const path = definition[role];
    if (path === undefined) continue;
    try {
      hashes[role] = await hashOnce(path);
    } catch (error) {
      const words = `guest ${guest}: ${role}: ${error instanceof Error ? error.message : String(error)}`;
      throw new StillwireError('GUEST_FAILED', words, { guest, path }, error);
    }
  }
  return hashes;
}

/** A QOM type less what its kind adds: `pc-q35-7.2-machine`, `qemu64-x86_64-cpu`. */
const plainType = (type: string): string => type.replace(/-machine$|-[^-]+-cpu$/, '');

const typeOf = (qmp: QmpClient, path: string): Promise<string> =>
  ask(qmp, z.string(), 'qom-get', { path, property: 'type' });

/** The guest's RAM in MiB. */
export async function memoryOf(qmp: QmpClient): Promise<number> {
  const memory = await ask(qmp, MemoryAnswer, 'query-memory-size-summary');
  return (memory['base-memory'] + memory['plugged-memory']) / MIB;
}

/** Identity of the guest behind `qmp`. @throws as QmpClient.execute */
export async function readIdentity(
  qmp: QmpClient,
  hashes: Readonly<Record<string, string>>,
): Promise<GuestIdentity> {
  const [{ qemu }, machine, cpus, memory] = await Promise.all([
    ask(qmp, VersionAnswer, 'query-version'),
    typeOf(qmp, '/machine'),
    ask(qmp, CpusAnswer, 'query-cpus-fast'),
    memoryOf(qmp),
  ]);
  const first = cpus[0]?.['qom-path'];
  return {
    kind: 'qemu',
    version: `${qemu.major}.${qemu.minor}.${qemu.micro}`,
    machine: plainType(machine),
    cpu: first === undefined ? 'none' : plainType(await typeOf(qmp, first)),
    memory,
    hashes,
  };
}
