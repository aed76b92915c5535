/** A guest of the network file, with the file's defaults under it and all but derived MACs filled in. */
import type { z } from 'zod';
import type { NicDefinition, NicTransport, QemuDefinition } from './definition.js';
import { nicPort } from './definition.js';
import type { Read } from './reader.js';
import { guestShape, nicShape } from './schema.js';
import type { defaultsShape } from './schema.js';
import { readDmtcp } from './resolve-dmtcp.js';
import { present } from './scope.js';
import type { Scope } from './scope.js';
import type { Path } from './source.js';

export const DEFAULT_MTU = 1500;
const DEFAULT_QEMU = 'qemu-system-x86_64';
/** sockaddr_un.sun_path less its NUL (unix(7)). */
export const MAX_SOCKET_PATH = 107;

type GuestKeys = z.output<typeof guestShape>;
export type Defaults = Read<z.output<typeof defaultsShape>>['given'];

/** MACs are derived when those of the whole file are known. */
export type NicDraft = Omit<NicDefinition, 'mac'> & { readonly mac: string | undefined };
export type GuestDraft = Omit<QemuDefinition, 'nics'> & { readonly nics: readonly NicDraft[] };

/**
 * Reads `guests.NAME`; undefined when a fault makes it incomplete.
 * @param transport that of NICs which give none
 */
export function readGuest(
  scope: Scope,
  name: string,
  defaults: Defaults,
  transport: NicTransport = 'tap',
): GuestDraft | undefined {
  const { source, surroundings } = scope;
  const path: Path = ['guests', name];
  const read = scope.reader.map(path, guestShape, 'a guest');
  // A key that the guest gives, right or wrong, is not the default's.
  const own = new Set(source.keys(path));
  const inherited = Object.entries(defaults).filter(([key]) => !own.has(key));
  const keys: Partial<GuestKeys> = { ...(Object.fromEntries(inherited) as Defaults), ...read.given };
  const where = (key: keyof GuestKeys): Path =>
    own.has(key) || !source.has(['defaults', key]) ? [...path, key] : ['defaults', key];

  const program = keys.qemu ?? DEFAULT_QEMU;
  const qemu = surroundings.findProgram(program.includes('/') ? scope.absolute(program) : program);
  if (qemu === undefined && (keys.qemu !== undefined || !source.has(where('qemu')))) {
    scope.fault(
      where('qemu'),
      `qemu: no program ${program.includes('/') ? scope.absolute(program) : `"${program}" on PATH`}`,
    );
  }

  const kernel = readFile(scope, where('kernel'), 'kernel', keys.kernel);
  const initrd = readFile(scope, where('initrd'), 'initrd', keys.initrd);
  for (const key of ['initrd', 'append'] as const) {
    if (keys[key] === undefined || source.has(where('kernel'))) continue;
    scope.fault(where(key), `${key}: QEMU takes it only with a kernel, and guest "${name}" has none`);
  }

  const nics = readNics(scope, name, where('nics'), keys.nics ?? [], transport);
  const consoles = readConsoles(scope, name, path, keys);
  const args = (keys.args ?? []).map((argument, i) =>
    typeof argument === 'string' ? argument : source.spelling([...where('args'), i]),
  );
  const under = source.has(where('dmtcp'));
  const dmtcp = under ? readDmtcp(scope, where, { console: keys.console, args }) : undefined;
  if (read.complete === undefined || qemu === undefined || nics === undefined) return undefined;
  if (under && dmtcp === undefined) return undefined;
  return {
    qemu,
    accel: keys.accel ?? 'tcg',
    machine: keys.machine ?? 'q35',
    ...present({ cpu: keys.cpu }),
    cpus: keys.cpus ?? 1,
    memory: keys.memory ?? 128,
    ...present({ kernel, initrd, append: keys.append, ...consoles }),
    args,
    ...present({ disks: keys.disks }),
    nics,
    ...present({ dmtcp }),
  };
}

function readFile(scope: Scope, path: Path, key: string, given: string | undefined): string | undefined {
  if (given === undefined) return undefined;
  const file = scope.absolute(given);
  if (!scope.surroundings.isFile(file)) scope.fault(path, `${key}: no readable file ${file}`);
  return file;
}

function readConsoles(
  scope: Scope,
  guest: string,
  path: Path,
  keys: Partial<GuestKeys>,
): Pick<QemuDefinition, 'console' | 'consoleLog'> {
  const consoles = present({
    console: keys.console === undefined ? undefined : scope.absolute(keys.console),
    consoleLog: keys.consoleLog === undefined ? undefined : scope.absolute(keys.consoleLog),
  });
  for (const [key, file] of Object.entries(consoles)) {
    scope.claim([...path, key], 'file', file, `${key}: ${file}`, `guest "${guest}"`);
  }
  const bytes = Buffer.byteLength(consoles.console ?? '');
  if (bytes > MAX_SOCKET_PATH) {
    const why = `a unix socket's path has at most ${MAX_SOCKET_PATH} bytes, this one ${bytes}`;
    scope.fault([...path, 'console'], `console: ${why}: ${consoles.console ?? ''}`);
  }
  return consoles;
}

function readNics(
  scope: Scope,
  guest: string,
  path: Path,
  list: readonly unknown[],
  transport: NicTransport,
): NicDraft[] | undefined {
  const nics: NicDraft[] = [];
  for (const i of list.keys()) {
    const at = [...path, i];
    const { given, complete } = scope.reader.map(at, nicShape, 'a NIC');
    const name = given.name ?? `nic${i}`;
    const port = nicPort(guest, name);
    if (given.segment !== undefined) scope.checkSegment([...at, 'segment'], given.segment);
    if (given.mac !== undefined) scope.claim([...at, 'mac'], 'mac', given.mac, `MAC ${given.mac}`, port);
    scope.claim([...at, 'name'], 'port', port, `NIC name "${name}"`, `another NIC of guest "${guest}"`);
    if (complete === undefined) continue;
    nics.push({
      name,
      segment: complete.segment,
      mac: complete.mac,
      mtu: complete.mtu ?? DEFAULT_MTU,
      ...present({ vlan: complete.vlan }),
      model: complete.model ?? 'virtio-net-pci',
      ...((complete.transport ?? transport) === 'dgram' && { transport: 'dgram' as const }),
    });
  }
  return nics.length === list.length ? nics : undefined;
}
