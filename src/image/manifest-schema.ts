/**
 * The shape of a manifest, checked before anything in it is believed. Strict: an unknown key is a fault, since a
 * newer format would have said so by its version or by `requires`. Every count and string is bounded. What the parts
 * say about one another is checked in audit.ts.
 */
import { z } from 'zod';
import type { GuestIdentity } from '../guest/guest.js';
import { NIC_TRANSPORTS, type NetworkDefinition } from '../definition/definition.js';
import { PORT_METHODS, QUIESCE_METHODS, type PortEvidence } from '../quiesce/evidence.js';
import type { PortLedger } from '../switch/ledger.js';
import { DISCARD_REASONS, DROP_REASONS } from '../switch/ledger.js';
import { FORMAT, FORMAT_VERSION, MAX_PORTS, isImagePath, isName } from './manifest.js';
import type { AddressRecord, GuestRecord, Manifest, ManifestFile, StationRecord } from './manifest.js';

const text = (max: number) => z.string().max(max);
const count = z.int().min(0);
const milliseconds = z.number().min(0);
const name = z.string().refine(isName, 'not a valid name');
const portId = z
  .string()
  .refine((id) => id.split('/').length <= 2 && id.split('/').every(isName), 'not a valid port');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'not a sha256 in lower-case hexadecimal');
const mac = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, 'not a lower-case MAC address');
const vlan = z.int().min(1).max(4094);
const mtu = z.int().min(64).max(65_535);
const path = text(4096).min(1);
/** One argument of a program: MAX_ARG_STRLEN of linux/binfmts.h. */
const argument = text(131_072);
const addresses = z.array(text(64)).max(256);
const method = z.enum(QUIESCE_METHODS);

function record<V extends z.ZodType>(key: z.ZodType<string, string>, value: V, max: number) {
  return z
    .record(key, value)
    .refine((entries) => Object.keys(entries).length <= max, `more than ${max} entries`);
}

/** One required counter per reason. */
function reasons<R extends string>(names: readonly R[]): z.ZodType<Record<R, number>> {
  const shape = Object.fromEntries(names.map((reason) => [reason, count]));
  return z.strictObject(shape) as unknown as z.ZodType<Record<R, number>>;
}

const nic = z.strictObject({
  name,
  segment: name,
  mac,
  mtu,
  vlan: vlan.exactOptional(),
  model: text(256).min(1),
  transport: z.enum(NIC_TRANSPORTS).exactOptional(),
});

const guest = z.strictObject({
  qemu: path,
  accel: z.enum(['kvm', 'tcg']),
  machine: argument.min(1),
  cpu: argument.exactOptional(),
  cpus: z.int().min(1).max(4096),
  memory: z.int().min(1),
  kernel: path.exactOptional(),
  initrd: path.exactOptional(),
  append: argument.exactOptional(),
  console: path.exactOptional(),
  consoleLog: path.exactOptional(),
  args: z.array(argument).max(4096),
  disks: z.literal('unmanaged').exactOptional(),
  nics: z.array(nic).max(256),
  dmtcp: z
    .strictObject({
      coordinator: text(300).exactOptional(),
      netns: text(4096).exactOptional(),
      plugins: z.array(path).max(64),
      gzip: z.boolean(),
      forked: z.boolean(),
      unreachable: z.enum(['go', 'wait']),
    })
    .exactOptional(),
});

const adoptedGuest = z.strictObject({
  adopt: z.strictObject({ qmp: path, restart: z.array(argument).min(1).max(4096).exactOptional() }),
  disks: z.literal('unmanaged').exactOptional(),
  nics: z
    .array(
      z.strictObject({
        name,
        segment: name,
        device: text(64).min(1),
        mtu,
        vlan: vlan.exactOptional(),
      }),
    )
    .max(256),
});

const external = z.strictObject({
  kind: z.literal('external'),
  segment: name,
  device: text(64).min(1),
  addresses,
  mtu,
  vlan: vlan.exactOptional(),
});

const device = z.strictObject({
  kind: z.literal('device'),
  segment: name,
  device: text(64).min(1),
  netns: path.exactOptional(),
  mac: mac.exactOptional(),
  addresses,
  mtu,
  vlan: vlan.exactOptional(),
});

const dgram = z.strictObject({
  kind: z.literal('dgram'),
  segment: name,
  path: path.max(107),
  peer: path.max(107),
  mtu,
  vlan: vlan.exactOptional(),
});

const segment = z.strictObject({
  reservedMulticast: z.enum(['forward', 'drop']),
  ageingSeconds: z.number().min(0),
});

export const definitionSchema: z.ZodType<NetworkDefinition> = z.strictObject({
  network: name,
  segments: record(name, segment, MAX_PORTS),
  guests: record(name, z.union([guest, adoptedGuest]), MAX_PORTS),
  ports: record(name, z.discriminatedUnion('kind', [external, device, dgram]), MAX_PORTS),
});

const evidence: z.ZodType<PortEvidence> = z.strictObject({
  port: portId,
  kind: z.enum(['tap', 'dgram', 'device', 'external']),
  method: z.enum(PORT_METHODS),
  down: z.strictObject({
    sentinelSent: z.boolean(),
    ringEmpty: z.boolean(),
    sendQueueBytes: count,
    droppedSinceHold: count,
    cookie: z.enum(['unasked', 'asked', 'answered']),
    recalled: count,
  }),
  up: z.strictObject({
    deviceFrames: count,
    receivedFrames: count,
    socketDrops: count,
    queueEmpty: z.boolean(),
    mayHaveOverrun: z.boolean(),
  }),
});

const ledger: z.ZodType<PortLedger> = z.strictObject({
  port: portId,
  ingress: z.strictObject({
    received: count,
    bytes: count,
    switched: count,
    copies: count,
    discarded: reasons(DISCARD_REASONS),
  }),
  egress: z.strictObject({
    switched: count,
    restored: count,
    recalled: count,
    sentinels: count,
    cookies: count,
    sent: count,
    bytes: count,
    held: count,
    dropped: reasons(DROP_REASONS),
  }),
});

const station: z.ZodType<StationRecord> = z.strictObject({
  segment: name,
  vlan: z.int().min(0).max(4094),
  mac,
  port: portId,
});

const nonces = z.array(z.string().regex(/^[0-9a-f]{32}$/, 'not a nonce')).max(64);

const knownAddress: z.ZodType<AddressRecord> = z.strictObject({
  port: portId,
  vlan: z.int().min(0).max(4094),
  ip: z.ipv4().exactOptional(),
});

const identity: z.ZodType<GuestIdentity> = z.strictObject({
  kind: text(64),
  version: text(256),
  machine: text(256),
  cpu: text(4096),
  memory: z.number().min(0),
  hashes: record(text(64), sha256, 64),
});

const imagePath = z
  .string()
  .refine(isImagePath, 'not a path inside an image (inflight.pcapng, guests/NAME/… or attachments/…)');

const guestRecord: z.ZodType<GuestRecord> = z.strictObject({
  runState: text(64).min(1),
  identity: identity.exactOptional(),
  state: imagePath.exactOptional(),
  disksUnmanaged: z.boolean(),
});

const file: z.ZodType<ManifestFile> = z.strictObject({ path: imagePath, bytes: count, sha256 });

export const manifestSchema: z.ZodType<Manifest> = z.strictObject({
  format: z.literal(FORMAT),
  formatVersion: z.literal(FORMAT_VERSION),
  requires: z.array(text(64)).max(64),
  checkpointId: z.string().regex(/^[0-9a-z-]{8,64}$/, 'not a checkpoint id'),
  name,
  takenAt: z.iso.datetime(),
  stillwireVersion: text(64),
  definition: definitionSchema,
  guests: record(name, guestRecord, MAX_PORTS),
  method,
  proven: z.boolean(),
  evidence: z.array(evidence).max(MAX_PORTS),
  ledger: z.array(ledger).max(MAX_PORTS),
  stations: z.array(station).max(65_536),
  inFlightFrames: count,
  sentinels: nonces,
  cookies: nonces,
  addresses: z.array(knownAddress).max(16_384),
  phases: record(text(64), milliseconds, 256),
  pauseMs: milliseconds.exactOptional(),
  skewMs: z.strictObject({ stop: milliseconds, resume: milliseconds.exactOptional() }).exactOptional(),
  files: z.array(file).max(65_536),
});

/** What can be read of a manifest of any version: enough to say why it is refused. */
export const headerSchema = z.object({
  format: z.literal(FORMAT),
  formatVersion: z.int(),
  requires: z.array(text(64)).max(64),
});

/** The first faults zod found, each with the place it was found at. */
export function schemaFaults(error: z.ZodError): string[] {
  const said = error.issues.map(({ path: place, message }) => `manifest: ${place.join('.')}: ${message}`);
  return said.length > 20 ? [...said.slice(0, 20), `manifest: ${said.length - 20} further faults`] : said;
}
