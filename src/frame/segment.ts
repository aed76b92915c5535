/**
 * What a NIC with offloads leaves to be done, done here: for ports without virtio-net headers, which need whole frames.
 *
 * A virtio-net header (struct virtio_net_hdr, linux/virtio_net.h, little-endian) may ask for two things:
 *
 *   flags bit 0    the transport checksum: the field holds the sum of the pseudo header only; the rest, from csum_start
 *                  to the end, is to be added
 *   gso_type       the frame is longer than any MTU and to be cut into segments of gso_size payload bytes, each with
 *                  the headers of the first: TCP as tcp_gso_segment of the kernel does it, or UDP datagrams
 *
 * The header comes from a guest and may say anything. Nothing is believed that the frame itself does not bear out: its
 * headers are parsed, and must agree. One that lies is not repaired: its frame is dropped.
 */
import { addWords, foldChecksum, foldTransport } from './checksum.js';
import { ETHERTYPE, HEADER_BYTES, TYPE, VLAN_TAG_BYTES } from './ethernet.js';
import { MIN_FRAME_BYTES, VNET_HEADER_BYTES } from './types.js';

const NEEDS_CSUM = 1;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;
/** The sender's congestion experience is echoed: CWR belongs to the first segment. We do so in any case. */
const GSO_ECN = 0x80;

const LONGEST_IP_BYTES = 0xffff;
/** Linux sends no segment of less (tcp_min_snd_mss, 48); without a bound one frame could become 65,536. */
const MAX_SEGMENTS = 2048;

const TCP = 6;
const UDP = 17;
const UDP_HEADER_BYTES = 8;
const TCP_FLAGS = 13;
const FIN_PSH = 0x09;
const CWR = 0x80;
/**
 * IPv6 extension headers that may stand before a transport header: hop-by-hop and destination options. Not the routing
 * header: behind it the checksum is one with another destination.
 */
const EXTENSIONS: ReadonlySet<number> = new Set([0, 60]);

/** Whether a frame is whole as it is, by its virtio-net header at `header`. */
export const isPlain = (bytes: Uint8Array, header: number): boolean =>
  (bytes[header]! & NEEDS_CSUM) === 0 && bytes[header + 1] === GSO_NONE;

/**
 * Length of the longest frame that the frame at `start` is on a wire: its own, or, of a super-frame, that of a segment.
 * `header` and `start` are offsets in `bytes`. An honest header is taken for granted: who cuts looks closer.
 */
export function longestOnWire(bytes: Uint8Array, header: number, start: number, length: number): number {
  const gsoType = bytes[header + 1]! & ~GSO_ECN;
  if (gsoType === GSO_NONE) return length;
  const size = bytes[header + 4]! | (bytes[header + 5]! << 8);
  const transport = bytes[header + 6]! | (bytes[header + 7]! << 8);
  const isTcp = gsoType === GSO_TCPV4 || gsoType === GSO_TCPV6;
  const headerBytes = isTcp ? (bytes[start + transport + 12]! >> 4) * 4 : UDP_HEADER_BYTES;
  return Math.min(length, transport + headerBytes + size);
}

/**
 * The frame at `start` as plain frames, each in memory of its own: a virtio-net header of zeros, then the frame.
 * Undefined when its header asks for what cannot be done. Reads nothing outside of header and frame; never throws.
 */
export function toPlain(bytes: Buffer, header: number, start: number, length: number): Buffer[] | undefined {
  const frame = bytes.subarray(start, start + length);
  if (isPlain(bytes, header)) return [copyOf(frame)];
  const gsoType = bytes[header + 1]! & ~GSO_ECN;
  if (gsoType !== GSO_NONE) return cut(frame, gsoType, bytes.readUInt16LE(header + 4));
  return complete(frame, bytes.readUInt16LE(header + 6), bytes.readUInt16LE(header + 8));
}

/** A stored frame of `length` bytes, or of the shortest length there is; all zero. */
const blank = (length: number): Buffer => Buffer.alloc(VNET_HEADER_BYTES + Math.max(length, MIN_FRAME_BYTES));

function copyOf(frame: Buffer): Buffer {
  const stored = blank(frame.length);
  frame.copy(stored, VNET_HEADER_BYTES);
  return stored;
}

function complete(frame: Buffer, start: number, offset: number): Buffer[] | undefined {
  const field = start + offset;
  if (start < HEADER_BYTES || field + 2 > frame.length) return undefined;
  const stored = copyOf(frame);
  stored.writeUInt16BE(foldTransport(addWords(0, frame, start, frame.length)), VNET_HEADER_BYTES + field);
  return [stored];
}

/** Where the headers of a frame lie, and the payload behind them. */
interface Layout {
  readonly ip: number;
  readonly version: 4 | 6;
  readonly protocol: number;
  readonly transport: number;
  /** End of the IP packet; behind it there may be padding. */
  readonly end: number;
}

function layoutOf(frame: Buffer): Layout | undefined {
  let type = TYPE;
  for (let tags = 0; tags < 2 && isTag(frame, type); tags++) type += VLAN_TAG_BYTES;
  if (type + 2 > frame.length) return undefined;
  const ip = type + 2;
  const ethertype = frame.readUInt16BE(type);
  if (ethertype === ETHERTYPE.ipv4) return layoutOfIpv4(frame, ip);
  return ethertype === ETHERTYPE.ipv6 ? layoutOfIpv6(frame, ip) : undefined;
}

function isTag(frame: Buffer, at: number): boolean {
  if (at + VLAN_TAG_BYTES + 2 > frame.length) return false;
  const type = frame.readUInt16BE(at);
  return type === ETHERTYPE.vlan || type === ETHERTYPE.serviceVlan;
}

/** The end that a length field gives; 0 stands for one beyond 64 KiB: the frame's own end. */
const endBy = (frame: Buffer, start: number, field: number): number =>
  field === 0 ? frame.length : start + field;

function layoutOfIpv4(frame: Buffer, ip: number): Layout | undefined {
  if (ip + 20 > frame.length || frame[ip]! >> 4 !== 4) return undefined;
  const total = frame.readUInt16BE(ip + 2);
  const end = endBy(frame, ip, total);
  const transport = ip + (frame[ip]! & 0x0f) * 4;
  const isFragment = (frame.readUInt16BE(ip + 6) & 0x3fff) !== 0;
  if (transport < ip + 20 || transport > end || end > frame.length || isFragment) return undefined;
  return { ip, version: 4, protocol: frame[ip + 9]!, transport, end };
}

function layoutOfIpv6(frame: Buffer, ip: number): Layout | undefined {
  let transport = ip + 40;
  if (transport > frame.length || frame[ip]! >> 4 !== 6) return undefined;
  const end = endBy(frame, transport, frame.readUInt16BE(ip + 4));
  if (end > frame.length) return undefined;
  let protocol = frame[ip + 6]!;
  while (EXTENSIONS.has(protocol)) {
    if (transport + 8 > end) return undefined;
    protocol = frame[transport]!;
    transport += (frame[transport + 1]! + 1) * 8;
  }
  return transport > end ? undefined : { ip, version: 6, protocol, transport, end };
}

function cut(frame: Buffer, gsoType: number, size: number): Buffer[] | undefined {
  const layout = layoutOf(frame);
  if (layout === undefined || size === 0) return undefined;
  const { version, protocol, transport, end } = layout;
  const isTcp = gsoType === GSO_TCPV4 || gsoType === GSO_TCPV6;
  if (isTcp && (protocol !== TCP || (gsoType === GSO_TCPV4) !== (version === 4))) return undefined;
  if (!isTcp && (gsoType !== GSO_UDP_L4 || protocol !== UDP)) return undefined;
  if (transport + (isTcp ? 20 : UDP_HEADER_BYTES) > end) return undefined;
  const headerBytes = isTcp ? (frame[transport + 12]! >> 4) * 4 : UDP_HEADER_BYTES;
  const payload = transport + headerBytes;
  if (headerBytes < UDP_HEADER_BYTES || (isTcp && headerBytes < 20) || payload > end) return undefined;
  const count = Math.max(1, Math.ceil((end - payload) / size));
  if (count > MAX_SEGMENTS) return undefined;
  // A frame may be longer than any IP packet that says its length; what is cut from it has to say it.
  if (payload + Math.min(size, end - payload) - layout.ip > LONGEST_IP_BYTES) return undefined;
  return Array.from({ length: count }, (_, i) => {
    const from = payload + i * size;
    const place = { index: i, last: i === count - 1, sent: i * size };
    return segment(frame, layout, payload, { from, to: Math.min(from + size, end) }, place);
  });
}

/** One segment: the headers, the payload bytes `from` to `to`, and every field that differs from the first's. */
function segment(
  frame: Buffer,
  { ip, version, protocol, transport }: Layout,
  payload: number,
  { from, to }: { readonly from: number; readonly to: number },
  place: { readonly index: number; readonly last: boolean; readonly sent: number },
): Buffer {
  const length = payload + to - from;
  const stored = blank(length);
  const out = stored.subarray(VNET_HEADER_BYTES);
  frame.copy(out, 0, 0, payload);
  frame.copy(out, payload, from, to);
  if (version === 4) {
    out.writeUInt16BE(length - ip, ip + 2);
    out.writeUInt16BE((out.readUInt16BE(ip + 4) + place.index) & 0xffff, ip + 4);
    out.writeUInt16BE(0, ip + 10);
    out.writeUInt16BE(foldChecksum(addWords(0, out, ip, transport)), ip + 10);
  } else out.writeUInt16BE(length - ip - 40, ip + 4);

  if (protocol === TCP) {
    out.writeUInt32BE((out.readUInt32BE(transport + 4) + place.sent) % 0x1_0000_0000, transport + 4);
    if (!place.last) out[transport + TCP_FLAGS]! &= ~FIN_PSH;
    if (place.index > 0) out[transport + TCP_FLAGS]! &= ~CWR;
  } else out.writeUInt16BE(length - transport, transport + 4);
  const field = transport + (protocol === TCP ? 16 : 6);
  out.writeUInt16BE(0, field);
  const addresses = version === 4 ? [ip + 12, ip + 20] : [ip + 8, ip + 40];
  const pseudo = addWords(protocol + length - transport, out, addresses[0]!, addresses[1]!);
  out.writeUInt16BE(foldTransport(addWords(pseudo, out, transport, length)), field);
  return stored;
}
