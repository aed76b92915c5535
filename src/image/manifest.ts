/** The manifest of a checkpoint: format version 2. See docs/image-format.md. */
import type { GuestIdentity } from '../guest/guest.js';
import { transportOf, type NetworkDefinition } from '../definition/definition.js';
import type { PortEvidence, PortKind, QuiesceMethod } from '../quiesce/evidence.js';
import type { PortLedger } from '../switch/ledger.js';

export const FORMAT = 'stillwire-checkpoint';
export const FORMAT_VERSION = 2;
/** Features an image may require of its reader; unknown ones are refused. */
export const KNOWN_FEATURES: readonly string[] = ['qemu-migration-stream', 'dmtcp-image', 'inflight-pcapng'];

/** The manifest itself; at most {@link MAX_MANIFEST_BYTES}. */
export const MANIFEST_FILE = 'manifest.json';
/** sha256sum(1) line over the manifest; written last. */
export const CHECKSUM_FILE = 'manifest.sha256';
/** The in-flight frames; always present, also when there are none. */
export const INFLIGHT_FILE = 'inflight.pcapng';

export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;
/** Ports of one network; what an interface index list in a pcapng option can hold, with room to spare. */
export const MAX_PORTS = 16_384;

export interface ManifestFile {
  /** Relative to the checkpoint's directory; see {@link isImagePath}. */
  readonly path: string;
  readonly bytes: number;
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** One station the switch had learned at the mark. */
export interface StationRecord {
  readonly segment: string;
  /** 0 when untagged. */
  readonly vlan: number;
  readonly mac: string;
  readonly port: string;
}

/** Whom a cookie can be sent to: an IPv4 address heard on a port speaking for itself, or, without one, an echo agent. */
export interface AddressRecord {
  readonly port: string;
  /** 0 when untagged. */
  readonly vlan: number;
  readonly ip?: string;
}

export interface GuestRecord {
  /** Run state before our stop; restored by a restart. `ended` guests are not started again. */
  readonly runState: string;
  readonly identity?: GuestIdentity;
  /** Path of the state file in the image, under `guests/NAME/`; absent for an ended guest, and only there. */
  readonly state?: string;
  readonly disksUnmanaged: boolean;
}

export interface Manifest {
  readonly format: typeof FORMAT;
  readonly formatVersion: number;
  readonly requires: readonly string[];
  /** Random; every file of the image belongs to it by hash, the pcapng carries it too. 8 to 64 of `0-9a-z-`. */
  readonly checkpointId: string;
  readonly name: string;
  /** Wall clock at the mark, ISO 8601, UTC. */
  readonly takenAt: string;
  readonly stillwireVersion: string;
  readonly definition: NetworkDefinition;
  /** The guests this image holds; a subset of the definition's (none in an image made by `mark`). */
  readonly guests: Readonly<Record<string, GuestRecord>>;
  /** What was asked for; the one used at each port stands in its evidence. */
  readonly method: QuiesceMethod;
  readonly proven: boolean;
  /** One entry per port of the definition; the port of an ended guest may be missing. */
  readonly evidence: readonly PortEvidence[];
  /** As at the mark; one entry per port, with the same exception. */
  readonly ledger: readonly PortLedger[];
  readonly stations: readonly StationRecord[];
  readonly inFlightFrames: number;
  /** Nonces, in hex, of sentinels that may still sit in a guest; it may send one back after a restart. */
  readonly sentinels: readonly string[];
  /** The same of cookies: a guest that had one in its ring answers it after a restart. */
  readonly cookies: readonly string[];
  readonly addresses: readonly AddressRecord[];
  /** Milliseconds by phase. */
  readonly phases: Readonly<Record<string, number>>;
  readonly pauseMs?: number;
  /** Between the first and the last guest; no resume when the guests were ended. */
  readonly skewMs?: { readonly stop: number; readonly resume?: number };
  /** Every file of the image but the manifest and its checksum. */
  readonly files: readonly ManifestFile[];
}

/** What the taker of a checkpoint fills in; the files are found and hashed at commit. */
export type ManifestBody = Omit<Manifest, 'files'>;

const PATH = /^(?:inflight\.pcapng|guests\/[^/]+\/.+|attachments\/.+)$/;
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f\\]/;

/**
 * Whether a path may stand in an image: `inflight.pcapng`, or below `guests/NAME/` or `attachments/`; relative, forward
 * slashes, no empty, `.` or `..` part, no control character or backslash, at most 1024 characters.
 */
export function isImagePath(path: string): boolean {
  if (path.length > 1024 || UNPRINTABLE.test(path) || !PATH.test(path)) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Whether a name may be that of a checkpoint, network, segment, guest or NIC (rule of NAME_INVALID). */
export function isName(name: string): boolean {
  return NAME.test(name);
}

/** What the pcapng's interfaces and the manifest's records may name. */
export type DefinedPorts = ReadonlyMap<string, PortKind>;

/** Every port of a network with its kind, in the order of the definition: guests' NICs, then the others. */
export function definedPorts(definition: NetworkDefinition): DefinedPorts {
  const ports = new Map<string, PortKind>();
  for (const [guest, { nics }] of Object.entries(definition.guests)) {
    for (const nic of nics) ports.set(`${guest}/${nic.name}`, transportOf(nic));
  }
  for (const [name, { kind }] of Object.entries(definition.ports)) ports.set(name, kind);
  return ports;
}
