/** A guest of the network file that somebody else has started. */
import { nicPort, type AdoptedDefinition, type AdoptedNic } from './definition.js';
import { DEFAULT_MTU, MAX_SOCKET_PATH } from './resolve-guest.js';
import { adoptedNicShape, adoptedShape, adoptShape } from './schema.js';
import { present, type Scope } from './scope.js';
import type { Path } from './source.js';

/** Reads `guests.NAME` that has the key `adopt`; undefined when a fault makes it incomplete. */
export function readAdopted(scope: Scope, name: string): AdoptedDefinition | undefined {
  const path: Path = ['guests', name];
  const guest = scope.reader.map(path, adoptedShape, 'an adopted guest');
  const { complete: adopt } = scope.reader.map([...path, 'adopt'], adoptShape, 'adopt');
  const nics = readNics(scope, name, [...path, 'nics'], guest.given.nics ?? []);
  if (guest.complete === undefined || adopt === undefined || nics === undefined) return undefined;
  const qmp = scope.absolute(adopt.qmp);
  const at = [...path, 'adopt', 'qmp'];
  scope.claim(at, 'file', qmp, `qmp: ${qmp}`, `guest "${name}"`);
  const bytes = Buffer.byteLength(qmp);
  if (bytes > MAX_SOCKET_PATH) {
    scope.fault(
      at,
      `qmp: a unix socket's path has at most ${MAX_SOCKET_PATH} bytes, this one ${bytes}: ${qmp}`,
    );
  }
  const restart = adopt.restart && readRestart(scope, [...path, 'adopt', 'restart'], adopt.restart);
  return { adopt: { qmp, ...present({ restart }) }, ...present({ disks: guest.given.disks }), nics };
}

/** The program, absolute or found on PATH, and its arguments as they are. */
function readRestart(scope: Scope, path: Path, [program = '', ...args]: readonly string[]): string[] {
  const wanted = program.includes('/') ? scope.absolute(program) : program;
  const found = scope.surroundings.findProgram(wanted);
  if (found === undefined) scope.fault([...path, 0], `restart: no program ${wanted}`);
  return [found ?? wanted, ...args];
}

function readNics(
  scope: Scope,
  guest: string,
  path: Path,
  list: readonly unknown[],
): AdoptedNic[] | undefined {
  const nics: AdoptedNic[] = [];
  for (const i of list.keys()) {
    const at = [...path, i];
    const { given, complete } = scope.reader.map(at, adoptedNicShape, 'a NIC of an adopted guest');
    const name = given.name ?? `nic${i}`;
    const port = nicPort(guest, name);
    const { segment, device } = given;
    if (segment !== undefined) scope.checkSegment([...at, 'segment'], segment);
    if (device !== undefined) scope.claim([...at, 'device'], 'device', device, `device "${device}"`, port);
    scope.claim([...at, 'name'], 'port', port, `NIC name "${name}"`, `another NIC of guest "${guest}"`);
    if (complete === undefined) continue;
    const { mtu = DEFAULT_MTU, vlan } = complete;
    nics.push({ name, segment: complete.segment, device: complete.device, mtu, ...present({ vlan }) });
  }
  return nics.length === list.length ? nics : undefined;
}
