/**
 * Frames of the model. Each says who sent it, to whom, and its number; a super-frame is of several segments, which
 * may be parted on the way (as the kernel does for a guest without TSO). The unit of every account is the segment.
 */
import { ECHO_ANSWER, ECHO_HERE, encodeEcho, parseEcho } from '../../src/frame/cookie.js';
import { NONCE_BYTES } from '../../src/frame/sentinel.js';
import { VNET_HEADER_BYTES } from '../../src/frame/types.js';
import { BROADCAST, frame, station } from '../pure/frames.js';

export interface Wire {
  readonly vnet: Buffer;
  readonly bytes: Buffer;
}

/** Destination of a frame for everybody. */
export const ALL = -1;
export const MOST_SEGMENTS = 4;
const LENGTH = 60;
const DATA = 0x88b6;
const TYPE_END = 14;
const EVERYBODY = 0xffff_ffff_ffff;
const WHOLE = 0xff;
/** Offsets behind the EtherType and the number. */
const SEGMENT = 18;
const SEGMENTS = 19;
const ASKS = 20;

export type Kind = 'data' | 'sentinel' | 'echo';

const macOf = (guest: number): number => station(guest).readUIntBE(0, 6);

const plain = Buffer.alloc(VNET_HEADER_BYTES);

export interface DataFrame {
  readonly number: number;
  readonly from: number;
  /** A guest, or {@link ALL}. */
  readonly to: number;
  readonly segments: number;
  /** Whether it wants an answer. */
  readonly asks: boolean;
}

export function encode({ number, from, to, segments, asks }: DataFrame): Wire {
  const bytes = frame(number, { to: to === ALL ? BROADCAST : station(to), from: station(from), type: DATA });
  bytes[SEGMENT] = WHOLE;
  bytes[SEGMENTS] = segments;
  bytes[ASKS] = asks ? 1 : 0;
  if (segments === 1) return { vnet: plain, bytes };
  const vnet = Buffer.alloc(VNET_HEADER_BYTES);
  vnet[1] = 1; // VIRTIO_NET_HDR_GSO_TCPV4
  vnet.writeUInt16LE(Math.ceil(LENGTH / segments), 4);
  return { vnet, bytes };
}

export function kindOf({ bytes }: Wire): Kind {
  const type = bytes.readUInt16BE(12);
  if (type === DATA) return 'data';
  return parseEcho(bytes, TYPE_END, bytes.length) === undefined ? 'sentinel' : 'echo';
}

export const fromOf = ({ bytes }: Wire): number => bytes.readUInt16BE(10);
export const toOf = ({ bytes }: Wire): number => ((bytes[0]! & 1) === 1 ? ALL : bytes.readUInt16BE(4));
/** Whether a frame is for a guest: its NIC drops all others. */
export const isFor = (wire: Wire, guest: number): boolean => toOf(wire) === ALL || toOf(wire) === guest;
export const asks = ({ bytes }: Wire): boolean => bytes[ASKS] === 1;

/** The segments in a frame, each as one number. */
export function unitsOf({ bytes }: Wire): number[] {
  const first = bytes.readUInt32BE(14) * MOST_SEGMENTS;
  if (bytes[SEGMENT] !== WHOLE) return [first + bytes[SEGMENT]!];
  return Array.from({ length: bytes[SEGMENTS]! }, (_, i) => first + i);
}

export const isWhole = ({ bytes }: Wire): boolean => bytes[SEGMENT] === WHOLE;
export const isLast = (wire: Wire): boolean =>
  isWhole(wire) || wire.bytes[SEGMENT] === wire.bytes[SEGMENTS]! - 1;

/** The frame as a device without TSO hands it on. */
export function segmentsOf(wire: Wire): Wire[] {
  const count = kindOf(wire) === 'data' && isWhole(wire) ? wire.bytes[SEGMENTS]! : 1;
  if (count === 1) return [wire];
  return Array.from({ length: count }, (_, i) => {
    const bytes = Buffer.from(wire.bytes);
    bytes[SEGMENT] = i;
    return { vnet: plain, bytes };
  });
}

/** What an echo agent sends: by itself, and as an answer to a request for it (docs/echo-agent.md). */
export const echoHere = (from: number): Wire => ({
  vnet: plain,
  bytes: encodeEcho(
    { operation: ECHO_HERE, nonce: new Uint8Array(NONCE_BYTES), port: 0 },
    macOf(from),
    EVERYBODY,
  ),
});

export function echoAnswer({ bytes }: Wire, from: number): Wire {
  const { nonce, port } = parseEcho(bytes, TYPE_END, bytes.length)!;
  return { vnet: plain, bytes: encodeEcho({ operation: ECHO_ANSWER, nonce, port }, macOf(from), EVERYBODY) };
}
