/** What kind of the soak's traffic a frame in flight is. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ETHERTYPE, HEADER_BYTES, isMulticast, TYPE, VLAN_TAG_BYTES } from '../frame/ethernet.js';
import { decodeInflight, INFLIGHT_FILE } from '../image/index.js';

export const FRAME_KINDS = [
  'udp',
  'fragment',
  'jumbo',
  'multicast',
  'vlanUdp',
  'vlanTcp',
  'bulkTcp',
  'shortTcp',
  'neighbour',
  'other',
] as const;
export type FrameKind = (typeof FRAME_KINDS)[number];

const PROTOCOL = { tcp: 6, udp: 17, fragment: 44, icmp6: 58 } as const;
const PORT = { udp: 7001, bulk: 7002, short: 7004 } as const;
const IPV6_HEADER_BYTES = 40;
/** RFC 4861: router solicitation 133 to redirect 137. */
const isNeighbourDiscovery = (type: number): boolean => type >= 133 && type <= 137;
const USUAL_FRAME_BYTES = 1500 + HEADER_BYTES;

interface Packet {
  readonly protocol: number;
  readonly fragment: boolean;
  /** Where its payload begins. */
  readonly at: number;
}

function packetAt(frame: Buffer, at: number, type: number): Packet | undefined {
  if (frame.length < at + 20) return undefined;
  if (type === ETHERTYPE.ipv4) {
    // RFC 791: header length, in words, in octet 0; more fragments and offset in 6 and 7; protocol in 9.
    const fragment = (frame.readUInt16BE(at + 6) & 0x3fff) !== 0;
    return { protocol: frame[at + 9]!, fragment, at: at + 4 * (frame[at]! & 0xf) };
  }
  if (type !== ETHERTYPE.ipv6 || frame.length < at + IPV6_HEADER_BYTES) return undefined;
  const protocol = frame[at + 6]!;
  return { protocol, fragment: protocol === PROTOCOL.fragment, at: at + IPV6_HEADER_BYTES };
}

export function kindOf(bytes: Uint8Array): FrameKind {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (frame.length < HEADER_BYTES + VLAN_TAG_BYTES) return 'other';
  const tagged = frame.readUInt16BE(TYPE) === ETHERTYPE.vlan;
  const header = tagged ? HEADER_BYTES + VLAN_TAG_BYTES : HEADER_BYTES;
  const type = frame.readUInt16BE(header - 2);
  if (type === ETHERTYPE.arp) return 'neighbour';
  const packet = packetAt(frame, header, type);
  if (packet === undefined || frame.length < packet.at + 4) return 'other';
  const { protocol, fragment, at } = packet;
  if (fragment) return 'fragment';
  if (protocol === PROTOCOL.icmp6 && isNeighbourDiscovery(frame[at]!)) return 'neighbour';
  const ports = [frame.readUInt16BE(at), frame.readUInt16BE(at + 2)];
  if (protocol === PROTOCOL.tcp) {
    if (tagged) return 'vlanTcp';
    if (ports.includes(PORT.bulk)) return 'bulkTcp';
    return ports.includes(PORT.short) ? 'shortTcp' : 'other';
  }
  if (protocol !== PROTOCOL.udp || !ports.includes(PORT.udp)) return 'other';
  if (tagged) return 'vlanUdp';
  if (isMulticast(frame)) return 'multicast';
  return frame.length > USUAL_FRAME_BYTES ? 'jumbo' : 'udp';
}

export interface InFlight {
  readonly kinds: Readonly<Record<FrameKind, number>>;
  /** Frames of TCP that the receiver's side will cut into segments: GSO in their virtio-net header. */
  readonly superframes: number;
}

/** Counts the frames of a checkpoint's pcapng by kind. @throws StillwireError IMAGE_INVALID */
export async function inFlightByKind(checkpoint: string): Promise<InFlight> {
  const { frames } = decodeInflight(await readFile(join(checkpoint, INFLIGHT_FILE)));
  const kinds = Object.fromEntries(FRAME_KINDS.map((kind) => [kind, 0])) as Record<FrameKind, number>;
  for (const { bytes } of frames) kinds[kindOf(bytes)]++;
  return { kinds, superframes: frames.filter(({ vnet }) => (vnet[1] ?? 0) !== 0).length };
}
