/**
 * TCP super-frames as the kernel would segment them for a device without TSO (net/ipv4/tcp_offload.c), for a frame in
 * its stored form: virtio-net header (struct virtio_net_hdr), then the bytes.
 */
import { ETHERTYPE, HEADER_BYTES, TYPE, VLAN_TAG_BYTES } from './ethernet.js';
import { VNET_HEADER_BYTES } from './types.js';

const NEEDS_CSUM = 1;
const GSO_TYPES: ReadonlySet<number> = new Set([1, 4]); // TCPV4, TCPV6
const GSO_ECN = 0x80;
const TCP_FIN = 0x01;
const TCP_PSH = 0x08;
const TCP_CWR = 0x80;
const TCP_PROTOCOL = 6;

/** Whether the header asks for segmentation. */
export const isSuperFrame = (stored: Buffer): boolean => stored[1] !== 0;

interface Layout {
  /** Offsets in the frame, which begins behind the virtio-net header. */
  readonly ip: number;
  readonly tcp: number;
  readonly payload: number;
  readonly partBytes: number;
  readonly parts: number;
  readonly version: 4 | 6;
}

/** Where everything lies; undefined when it is no TCP super-frame of a form that we know. */
function layoutOf(stored: Buffer): Layout | undefined {
  const length = stored.length - VNET_HEADER_BYTES;
  const partBytes = stored.readUInt16LE(4);
  const tcp = stored.readUInt16LE(6);
  if (!GSO_TYPES.has(stored[1]! & ~GSO_ECN) || (stored[0]! & NEEDS_CSUM) === 0 || partBytes === 0) return;
  if (tcp + 20 > length) return;
  const frame = stored.subarray(VNET_HEADER_BYTES);
  let at = TYPE;
  while (
    at + 2 < tcp &&
    [ETHERTYPE.vlan, ETHERTYPE.serviceVlan].some((type) => frame.readUInt16BE(at) === type)
  ) {
    at += VLAN_TAG_BYTES;
  }
  const type = frame.readUInt16BE(at);
  const version = type === ETHERTYPE.ipv4 ? 4 : type === ETHERTYPE.ipv6 ? 6 : undefined;
  const ip = at + HEADER_BYTES - TYPE;
  const payload = tcp + (frame[tcp + 12]! >> 4) * 4;
  if (version === undefined || ip + (version === 4 ? 20 : 40) > tcp || payload >= length) return;
  return { ip, tcp, payload, partBytes, parts: Math.ceil((length - payload) / partBytes), version };
}

/** How many segments the kernel makes of it; undefined when it is no TCP super-frame. */
export const partsOf = (stored: Buffer): number | undefined => layoutOf(stored)?.parts;

/**
 * Segment `index` of a super-frame, in stored form, its TCP checksum left to whoever delivers it.
 * @returns undefined when there is no such segment
 */
export function partOf(stored: Buffer, index: number): Buffer | undefined {
  const layout = layoutOf(stored);
  if (layout === undefined || index < 0 || index >= layout.parts) return undefined;
  const { ip, tcp, payload, partBytes, parts, version } = layout;
  const whole = stored.subarray(VNET_HEADER_BYTES);
  const from = payload + index * partBytes;
  const part = Buffer.concat([
    stored.subarray(0, VNET_HEADER_BYTES),
    whole.subarray(0, payload),
    whole.subarray(from, Math.min(from + partBytes, whole.length)),
  ]);
  part[1] = 0; // no segmentation
  part.writeUInt16LE(payload, 2);
  part.writeUInt16LE(0, 4);
  const frame = part.subarray(VNET_HEADER_BYTES);
  if (version === 4) {
    frame.writeUInt16BE(frame.length - ip, ip + 2);
    frame.writeUInt16BE((whole.readUInt16BE(ip + 4) + index) & 0xffff, ip + 4);
    frame.writeUInt16BE(0, ip + 10);
    frame.writeUInt16BE(~sum(frame.subarray(ip, ip + (frame[ip]! & 0xf) * 4)) & 0xffff, ip + 10);
  } else frame.writeUInt16BE(frame.length - ip - 40, ip + 4);
  frame.writeUInt32BE((whole.readUInt32BE(tcp + 4) + index * partBytes) % 0x1_0000_0000, tcp + 4);
  if (index > 0) frame[tcp + 13]! &= ~TCP_CWR;
  if (index < parts - 1) frame[tcp + 13]! &= ~(TCP_FIN | TCP_PSH);
  frame.writeUInt16BE(pseudoHeader(frame, ip, version, frame.length - tcp), tcp + 16);
  return part;
}

/** What stands in the checksum field of a frame whose checksum is still to be computed. */
function pseudoHeader(frame: Buffer, ip: number, version: 4 | 6, tcpBytes: number): number {
  const addresses = version === 4 ? frame.subarray(ip + 12, ip + 20) : frame.subarray(ip + 8, ip + 40);
  return fold(sum(addresses) + TCP_PROTOCOL + tcpBytes);
}

/** The one's complement sum of 16-bit words (RFC 1071). */
function sum(bytes: Buffer): number {
  let total = 0;
  for (let i = 0; i + 1 < bytes.length; i += 2) total += bytes.readUInt16BE(i);
  return fold(total);
}

function fold(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/**
 * Whether a frame read out of a ring is the one that was sent, though the kernel may have finished its checksum (a
 * device without checksum offload). Both in stored form.
 */
export function isSameFrame(sent: Buffer, read: Buffer): boolean {
  if (sent.length !== read.length) return false;
  const from = VNET_HEADER_BYTES;
  if ((sent[0]! & NEEDS_CSUM) === 0) return sent.compare(read, from, undefined, from) === 0;
  const checksum = Math.min(from + sent.readUInt16LE(6) + sent.readUInt16LE(8), sent.length - 2);
  return (
    sent.compare(read, from, checksum, from, checksum) === 0 &&
    sent.compare(read, checksum + 2, undefined, checksum + 2) === 0
  );
}
