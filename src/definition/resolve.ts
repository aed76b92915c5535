/**
 * From the keys of a network file to a {@link NetworkDefinition}: names looked up, defaults filled in, paths made
 * absolute, MACs derived. Faults are collected on the way, so every step goes on with what is sound; the result
 * counts only when no fault was found.
 */
import { basename, dirname, parse, resolve } from 'node:path';
import type { z } from 'zod';
import { MAX_NETWORK_PORTS, nicPort } from './definition.js';
import type {
  AdoptedDefinition,
  GuestDefinition,
  NetworkDefinition,
  PortDefinition,
  SegmentDefinition,
} from './definition.js';
import { quoted } from './faults.js';
import type { FaultList } from './faults.js';
import { deriveMacs } from './macs.js';
import { Reader } from './reader.js';
import { readAdopted } from './resolve-adopted.js';
import { DEFAULT_MTU, MAX_SOCKET_PATH, readGuest } from './resolve-guest.js';
import type { GuestDraft } from './resolve-guest.js';
import * as schema from './schema.js';
import { present, Scope } from './scope.js';
import type { Source } from './source.js';
import type { Surroundings } from './surroundings.js';

export interface Resolved {
  readonly definition: NetworkDefinition;
  /** Absolute. */
  readonly checkpoints?: string;
}

/** Resolves the file; undefined when a fault was found, in `faults` with its place. */
export function resolveNetwork(
  source: Source,
  file: string,
  surroundings: Surroundings,
  faults: FaultList,
): Resolved | undefined {
  const reader = new Reader(source, faults);
  const top = reader.map([], schema.fileShape, 'a network file').given;
  const network = top.network ?? nameFromFile(file);
  if (!source.has(['network']) && !schema.networkName.safeParse(network).success) {
    const why = `the file gives the network the name ${quoted(network)}, which it cannot have`;
    faults.add({ line: 1, column: 1 }, `${why}; add the key "network"`);
  }
  const segmentNames = reader.names(['segments'], 'segment');
  const scope = new Scope(reader, surroundings, dirname(resolve(file)), segmentNames);
  const defaults = reader.map(['defaults'], schema.defaultsShape, 'defaults').given;
  if (source.has(['segments']) && isEmpty(source.value(['segments']))) {
    scope.fault(['segments'], 'segments: a network has at least one, such as "lan: {}"');
  }
  const segments = segmentNames.map((name) => [name, readSegment(reader, name)] as const);
  const guests = reader.names(['guests'], 'guest').map((name) => {
    const adopted = source.has(['guests', name, 'adopt']);
    return [
      name,
      adopted ? readAdopted(scope, name) : readGuest(scope, name, defaults, top.transport),
    ] as const;
  });
  demandOneCoordinator(scope, guests);
  const ports = reader.names(['ports'], 'port').map((name) => [name, readPort(scope, name)] as const);
  const count = ports.length + guests.reduce((sum, [, guest]) => sum + (guest?.nics.length ?? 0), 0);
  if (count > MAX_NETWORK_PORTS) {
    scope.fault([], `a network has at most ${MAX_NETWORK_PORTS} ports, this one ${count}`);
  }
  const definition = { network, segments: whole(segments), guests: whole(guests), ports: whole(ports) };
  if (!faults.empty) return undefined;
  const checkpoints = top.checkpoints === undefined ? undefined : scope.absolute(top.checkpoints);
  return { definition: withMacs(definition), ...present({ checkpoints }) };
}

/** All guests under DMTCP are checkpointed at one moment, which takes one coordinator. */
function demandOneCoordinator(
  scope: Scope,
  guests: readonly (readonly [string, GuestDraft | AdoptedDefinition | undefined])[],
): void {
  const under = guests.flatMap(([name, guest]) =>
    guest !== undefined && 'dmtcp' in guest ? [[name, guest.dmtcp] as const] : [],
  );
  const [first] = under;
  for (const [name, { coordinator }] of under) {
    if (coordinator === first?.[1].coordinator) continue;
    const words = `all guests under DMTCP have one coordinator; that of guest "${first?.[0] ?? ''}" is another`;
    scope.fault(['guests', name], words);
  }
}

/** `lab` of lab.yaml; of stillwire.yaml, which every network may be called, the name of its directory. */
function nameFromFile(file: string): string {
  const { name, dir } = parse(resolve(file));
  return name === 'stillwire' ? basename(dir) : name;
}

const isEmpty = (value: unknown): boolean =>
  value === null || (typeof value === 'object' && Object.keys(value).length === 0);

/** The entries that could be read, as a record. A null prototype would not survive JSON; own keys are all that count. */
function whole<T>(entries: readonly (readonly [string, T | undefined])[]): Record<string, T> {
  return Object.fromEntries(entries.filter((entry): entry is readonly [string, T] => entry[1] !== undefined));
}

function readSegment(reader: Reader, name: string): SegmentDefinition {
  const { given } = reader.map(['segments', name], schema.segmentShape, 'a segment');
  return { reservedMulticast: given.reservedMulticast ?? 'forward', ageingSeconds: given.ageing ?? 300 };
}

function readPort(scope: Scope, name: string): PortDefinition | undefined {
  const { reader, source } = scope;
  const path = ['ports', name];
  if (source.has(['guests', name])) {
    const line = source.keyAt(['guests', name]).line;
    scope.faults.add(source.keyAt(path), `port name "${name}" is that of a guest too, on line ${line}`);
  }
  const kind = source.value([...path, 'kind']);
  const device =
    kind === 'device' ? reader.map(path, schema.devicePortShape, 'a port of kind device') : undefined;
  const external =
    kind === 'external' ? reader.map(path, schema.externalPortShape, 'a port of kind external') : undefined;
  const dgram =
    kind === 'dgram' ? reader.map(path, schema.dgramPortShape, 'a port of kind dgram') : undefined;
  const either = device ?? external ?? dgram ?? reader.map(path, schema.anyPortShape, 'a port');
  const given: Partial<z.output<typeof schema.anyPortShape>> = either.given;
  const owner = `port "${name}"`;
  if (given.segment !== undefined) scope.checkSegment([...path, 'segment'], given.segment);
  if (given.mac !== undefined) scope.claim([...path, 'mac'], 'mac', given.mac, `MAC ${given.mac}`, owner);
  if (given.device !== undefined) {
    // The same name in two namespaces is two devices.
    const kindOfName = `device ${given.netns ?? ''}`;
    scope.claim([...path, 'device'], kindOfName, given.device, `device name "${given.device}"`, owner);
  }
  const sockets = {
    path: socket(scope, name, 'path', given.path),
    peer: socket(scope, name, 'peer', given.peer),
  };
  const mtu = given.mtu ?? DEFAULT_MTU;
  if (dgram?.complete !== undefined) return { ...dgram.complete, ...present(sockets), mtu };
  const common = { addresses: given.addresses ?? [], mtu };
  if (device?.complete !== undefined) return { ...device.complete, ...common };
  if (external?.complete !== undefined) return { ...external.complete, ...common };
  return undefined;
}

/** A socket of a port, absolute. No two ports have one of the same path: each would take the other's for its own. */
function socket(
  scope: Scope,
  port: string,
  key: 'path' | 'peer',
  given: string | undefined,
): string | undefined {
  if (given === undefined) return undefined;
  const absolute = scope.absolute(given);
  const at = ['ports', port, key];
  scope.claim(at, 'file', absolute, `${key}: ${absolute}`, `port "${port}"`);
  const bytes = Buffer.byteLength(absolute);
  if (bytes > MAX_SOCKET_PATH) {
    scope.fault(
      at,
      `${key}: a unix socket's path has at most ${MAX_SOCKET_PATH} bytes, this one ${bytes}: ${absolute}`,
    );
  }
  return absolute;
}

interface Draft extends Omit<NetworkDefinition, 'guests'> {
  readonly guests: Readonly<Record<string, GuestDraft | AdoptedDefinition>>;
}

function withMacs(draft: Draft): NetworkDefinition {
  const nics = Object.entries(draft.guests).flatMap(([name, guest]) =>
    'adopt' in guest ? [] : guest.nics.map((nic) => ({ id: nicPort(name, nic.name), mac: nic.mac })),
  );
  const devices = Object.entries(draft.ports).flatMap(([id, port]) =>
    port.kind === 'device' ? [{ id, mac: port.mac }] : [],
  );
  const ports = [...nics, ...devices];
  const given = ports.flatMap(({ id, mac }) => (mac === undefined ? [] : [[id, mac] as const]));
  const ids = ports.map(({ id }) => id);
  const macs = deriveMacs(draft.network, ids, new Map(given));
  const mac = (id: string): string => macs.get(id)!;
  const withNics = ([name, guest]: [string, Draft['guests'][string]]): [string, GuestDefinition] => [
    name,
    'adopt' in guest
      ? guest
      : { ...guest, nics: guest.nics.map((nic) => ({ ...nic, mac: mac(nicPort(name, nic.name)) })) },
  ];
  const withMac = ([id, port]: [string, PortDefinition]): [string, PortDefinition] => [
    id,
    port.kind === 'device' ? { ...port, mac: mac(id) } : port,
  ];
  return {
    ...draft,
    guests: Object.fromEntries(Object.entries(draft.guests).map(withNics)),
    ports: Object.fromEntries(Object.entries(draft.ports).map(withMac)),
  };
}
