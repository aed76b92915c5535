/**
 * What a guest whose NIC has offloads gives it: super-frames of TCP and UDP with unfinished checksums. And what a
 * receiver makes of what arrives: every checksum counted by other means than ours, every payload taken out.
 */
import fc from 'fast-check';
import { expect } from 'vitest';

export const VNET = 10;
export const TCPV4 = 1;
export const UFO = 3;
export const TCPV6 = 4;
export const UDP_L4 = 5;
const ECN = 0x80;
const CWR_PSH_FIN = 0x89;

/** All words as one number in base 2^16, modulo 2^16-1 (Horner): another way to the same checksum. A right one gives 0. */
export function residue(...parts: readonly Buffer[]): number {
  let rest = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) {
      rest = (rest * 0x1_0000 + part[at]! * 256 + (part[at + 1] ?? 0)) % 0xffff;
    }
  }
  return rest;
}

export interface Super {
  readonly version: 4 | 6;
  readonly protocol: 'tcp' | 'udp';
  readonly tags: number;
  /** Bytes of TCP options, of IPv4 options or of IPv6 extension headers; multiples of 4 and 8. */
  readonly options: { readonly tcp: number; readonly ip: number };
  readonly payload: Buffer;
  readonly size: number;
  readonly sequence: number;
  readonly id: number;
  readonly flags: number;
  /** Length field 0, as beyond 64 KiB. */
  readonly jumbo: boolean;
}

export interface Built {
  readonly vnet: Buffer<ArrayBuffer>;
  readonly frame: Buffer<ArrayBuffer>;
  readonly ip: number;
  readonly transport: number;
  readonly payloadAt: number;
}

export function filled(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 31 + seed * 7;
  return bytes;
}

export const pseudo = (
  frame: Buffer,
  ip: number,
  version: 4 | 6,
  protocol: number,
  length: number,
): Buffer => {
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(length, 0);
  tail[7] = protocol;
  return Buffer.concat([frame.subarray(ip + (version === 4 ? 12 : 8), ip + (version === 4 ? 20 : 40)), tail]);
};

/** What a guest with offloads gives its NIC. */
export function build(shape: Super): Built {
  const { version, protocol, tags, options, payload } = shape;
  const number = protocol === 'tcp' ? 6 : 17;
  const link = Buffer.concat([
    Buffer.from('ffffffffffff020000000001', 'hex'),
    ...Array.from({ length: tags }, () => Buffer.from('8100a005', 'hex')),
  ]);
  const type = Buffer.from(version === 4 ? '0800' : '86dd', 'hex');
  const transportHeader = protocol === 'tcp' ? filled(20 + options.tcp, 3) : Buffer.alloc(8, 9);
  const length = transportHeader.length + payload.length;
  const network = version === 4 ? filled(20 + options.ip, 2) : filled(40 + options.ip * 2, 2);
  if (version === 4) {
    network[0] = 0x40 | (network.length / 4);
    network.writeUInt16BE(shape.jumbo ? 0 : network.length + length, 2);
    network.writeUInt16BE(shape.id, 4);
    network.writeUInt16BE(0x4000, 6); // don't fragment
    network[9] = number;
    network.writeUInt16BE(0, 10);
    network.writeUInt16BE(0xffff - residue(network), 10);
  } else {
    network[0] = 0x60;
    network.writeUInt16BE(shape.jumbo ? 0 : network.length - 40 + length, 4);
    network[6] = options.ip > 0 ? 60 : number;
    if (options.ip > 0) {
      network[40] = number;
      network[41] = (options.ip * 2) / 8 - 1;
    }
  }
  const ip = link.length + 2;
  const transport = ip + network.length;
  const frame = Buffer.concat([link, type, network, transportHeader, payload]);
  const field = protocol === 'tcp' ? 16 : 6;
  if (protocol === 'tcp') {
    frame.writeUInt32BE(shape.sequence, transport + 4);
    frame[transport + 12] = (transportHeader.length / 4) << 4;
    frame[transport + 13] = shape.flags;
  } else frame.writeUInt16BE(length & 0xffff, transport + 4);
  const partial = residue(pseudo(frame, ip, version, number, length));
  frame.writeUInt16BE(partial, transport + field);
  const vnet = Buffer.alloc(VNET);
  vnet[0] = 1;
  vnet[1] = protocol === 'udp' ? UDP_L4 : version === 4 ? TCPV4 | ECN : TCPV6;
  vnet.writeUInt16LE(transport + transportHeader.length, 2);
  vnet.writeUInt16LE(shape.size, 4);
  vnet.writeUInt16LE(transport, 6);
  vnet.writeUInt16LE(field, 8);
  return { vnet, frame, ip, transport, payloadAt: transport + transportHeader.length };
}

export const shapes: fc.Arbitrary<Super> = fc
  .record({
    version: fc.constantFrom(4 as const, 6 as const),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    tags: fc.integer({ min: 0, max: 2 }),
    options: fc.record({ tcp: fc.constantFrom(0, 12, 40), ip: fc.constantFrom(0, 4, 40) }),
    payload: fc.integer({ min: 0, max: 5_000 }).map((length) => filled(length, 5)),
    size: fc.constantFrom(48, 536, 1219, 1448),
    sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
    id: fc.integer({ min: 0, max: 0xffff }),
    flags: fc.constantFrom(0x10, 0x18, 0x10 | CWR_PSH_FIN),
    jumbo: fc.boolean(),
  })
  .map((shape) => {
    // An IPv6 extension header is a multiple of 8 bytes.
    const ip = shape.version === 6 && shape.options.ip === 40 ? 8 : shape.options.ip;
    return { ...shape, options: { ...shape.options, ip } };
  });

/** Offloads that a receiver takes. */
export interface Takes {
  readonly csum: boolean;
  readonly tso4: boolean;
  readonly tso6: boolean;
  readonly uso: boolean;
}
export const TAKES_NOTHING: Takes = { csum: false, tso4: false, tso6: false, uso: false };
export const TAKES_ALL: Takes = { csum: true, tso4: true, tso6: true, uso: true };

export interface Arrived {
  readonly vnet: Buffer;
  readonly bytes: Buffer;
}

/** A frame taken apart. */
interface Parsed {
  readonly tags: readonly number[];
  /** One, or, of a super-frame, that of each segment. */
  readonly payloads: Buffer[];
}

/** Takes a frame apart as its receiver would. @throws Error when anything in it is wrong, or more than it takes */
export function parse({ vnet, bytes }: Arrived, takes: Takes): Parsed {
  const tags: number[] = [];
  let at = 12;
  for (; bytes.readUInt16BE(at) === 0x8100; at += 4) tags.push(bytes.readUInt16BE(at + 2) & 0xfff);
  const version = bytes.readUInt16BE(at) === 0x0800 ? 4 : 6;
  const ip = at + 2;
  const headers =
    version === 4 ? (bytes[ip]! & 15) * 4 : bytes[ip + 6] === 60 ? 48 + bytes[ip + 41]! * 8 : 40;
  const transport = ip + headers;
  const end = ip + bytes.readUInt16BE(ip + (version === 4 ? 2 : 4)) + (version === 4 ? 0 : 40);
  if (version === 4) expect(residue(bytes.subarray(ip, transport))).toBe(0);
  const protocol = version === 4 ? bytes[ip + 9]! : headers === 40 ? bytes[ip + 6]! : bytes[ip + 40]!;
  const isTcp = protocol === 6;
  const payload = transport + (isTcp ? (bytes[transport + 12]! >> 4) * 4 : 8);

  const unfinished = (vnet[0]! & 1) !== 0;
  const field = transport + (isTcp ? 16 : 6);
  const sum = pseudo(bytes, ip, version, protocol, end - transport);
  if (unfinished) {
    expect(takes.csum).toBe(true);
    expect([vnet.readUInt16LE(6), vnet.readUInt16LE(6) + vnet.readUInt16LE(8)]).toEqual([transport, field]);
    expect(bytes.readUInt16BE(field) % 0xffff).toBe(residue(sum)); // the rest is the receiver's to add
  } else expect(residue(sum, bytes.subarray(transport, end))).toBe(0);

  const gsoType = vnet[1]! & ~ECN;
  expect(bytes.subarray(end)).toEqual(Buffer.alloc(bytes.length - end)); // padding only
  if (gsoType !== 0) {
    expect(gsoType).toBe(isTcp ? (version === 4 ? TCPV4 : TCPV6) : UDP_L4);
    expect(isTcp ? (version === 4 ? takes.tso4 : takes.tso6) : takes.uso).toBe(true);
  }
  const size = gsoType === 0 ? Math.max(1, end - payload) : vnet.readUInt16LE(4);
  if (!isTcp) expect(bytes.readUInt16BE(transport + 4)).toBe(end - transport);
  const count = Math.max(1, Math.ceil((end - payload) / size));
  const cut = (_: unknown, i: number): Buffer =>
    bytes.subarray(payload + i * size, Math.min(payload + (i + 1) * size, end));
  return {
    tags,
    payloads: Array.from({ length: count }, cut),
  };
}

/** The payloads that a super-frame stands for. */
export function payloadsOf({ payload, size }: Pick<Super, 'payload' | 'size'>): Buffer[] {
  const count = Math.max(1, Math.ceil(payload.length / size));
  return Array.from({ length: count }, (_, i) => payload.subarray(i * size, (i + 1) * size));
}

export const VLAN = 5; // of the tags that guest frames have
export const LINK_BYTES = 14;

export interface Receiver {
  /** Super-frames are cut by the switch; else by whoever is behind the port, if at all. */
  readonly plain: boolean;
  readonly vlan: number;
  readonly mtu: number | undefined;
}

/** A frame that is sent. `whole`: with nothing left to do; `sum`: the checksum is; `super`: segments too. */
export interface Sent {
  readonly shape: Super;
  readonly kind: 'whole' | 'sum' | 'super';
  /** The switch is held, or released, before it. */
  readonly turn: boolean;
}

/** What its sender gives its NIC. */
export function made({ shape, kind }: Sent): Built {
  const built = build(shape);
  const { vnet, frame: bytes, ip, transport } = built;
  if (kind === 'super') return built;
  vnet[1] = 0;
  vnet.writeUInt16LE(0, 4);
  if (kind === 'sum') return built;
  vnet.fill(0);
  const isTcp = shape.protocol === 'tcp';
  const field = transport + (isTcp ? 16 : 6);
  bytes.writeUInt16BE(0, field);
  const head = pseudo(bytes, ip, shape.version, isTcp ? 6 : 17, bytes.length - transport);
  bytes.writeUInt16BE(0xffff - residue(head, bytes.subarray(transport)), field);
  return built;
}

/** What comes of a frame at a port: its payloads and tags, and how many frames or segments do not fit. */
export function expected(sent: Sent, senderVlan: number, port: Receiver) {
  const { shape, kind } = sent;
  const nothing = { payloads: [] as Buffer[], tags: 0, oversize: 0 };
  if (senderVlan !== 0 && shape.tags > 0) return nothing; // no member of that VLAN
  const inside = shape.tags > 0 || senderVlan !== 0 ? 1 : 0;
  if (port.vlan !== 0 && inside === 0) return nothing;
  const tags = port.vlan === 0 ? inside : 0;
  const payloads = kind === 'super' ? payloadsOf(shape) : [shape.payload];
  const headers = build({ ...shape, tags: 0 }).payloadAt;
  const fits = ({ length }: Buffer): boolean =>
    headers + length <= (port.mtu ?? Number.POSITIVE_INFINITY) + LINK_BYTES;
  const cut = port.plain && kind === 'super';
  const apart = cut ? payloads.filter(fits) : payloads.every(fits) ? payloads : [];
  return { payloads: apart, tags, oversize: cut ? payloads.length - apart.length : apart.length > 0 ? 0 : 1 };
}

/** Compared as strings: far quicker than as buffers. */
export const text = (all: readonly { readonly payloads: readonly Buffer[] }[]): string[] =>
  all.flatMap(({ payloads }) => payloads.map((each) => each.toString('latin1')));
