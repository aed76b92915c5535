/** What TCP, UDP, ICMP and ICMPv6 say, as text. `length` is what the IP header grants them, header included. */
import { formatIpv6 } from './address.js';
import { u16, u32, u8 } from './bytes.js';

export interface Described {
  readonly text: string;
  /** Ports that belong behind the addresses. */
  readonly ports?: { readonly source: number; readonly destination: number };
  /** Bytes a super-frame of this kind is cut into. */
  readonly payload?: number;
}

type Describe = (bytes: Uint8Array, at: number, length: number) => Described;

const TCP_HEADER_BYTES = 20;
const UDP_HEADER_BYTES = 8;
const ICMP_HEADER_BYTES = 8;
/** Bits of the flags byte, in tcpdump's letters and order. */
const TCP_FLAGS: readonly (readonly [number, string])[] = [
  [0x01, 'F'],
  [0x02, 'S'],
  [0x04, 'R'],
  [0x08, 'P'],
  [0x10, '.'],
  [0x20, 'U'],
  [0x40, 'E'],
  [0x80, 'W'],
];

const portsAt = (bytes: Uint8Array, at: number): { source: number; destination: number } => ({
  source: u16(bytes, at),
  destination: u16(bytes, at + 2),
});

const tcp: Describe = (bytes, at, length) => {
  const header = (u8(bytes, at + 12) >> 4) * 4;
  const flagBits = u8(bytes, at + 13);
  const flags = TCP_FLAGS.filter(([bit]) => (flagBits & bit) !== 0).map(([, letter]) => letter);
  const ports = portsAt(bytes, at);
  const text = `TCP [${flags.join('') || 'none'}] seq ${u32(bytes, at + 4)}`;
  if (header < TCP_HEADER_BYTES || header > length) return { ports, text: `${text}, bad header length` };
  const ack = (flagBits & 0x10) !== 0 ? ` ack ${u32(bytes, at + 8)}` : '';
  const payload = length - header;
  return { ports, payload, text: `${text}${ack} win ${u16(bytes, at + 14)} len ${payload}` };
};

const udp: Describe = (bytes, at, length) => {
  // Its own length field is 0 in jumbograms and need not be right in a super-frame.
  const payload = length - UDP_HEADER_BYTES;
  return { ports: portsAt(bytes, at), payload, text: `UDP len ${payload}` };
};

const ICMP_NAMES: Readonly<Record<number, string>> = {
  0: 'echo reply',
  3: 'unreachable',
  4: 'source quench',
  5: 'redirect',
  8: 'echo request',
  11: 'time exceeded',
  12: 'parameter problem',
};

const ICMPV6_NAMES: Readonly<Record<number, string>> = {
  1: 'unreachable',
  2: 'packet too big',
  3: 'time exceeded',
  4: 'parameter problem',
  128: 'echo request',
  129: 'echo reply',
  130: 'multicast listener query',
  131: 'multicast listener report',
  132: 'multicast listener done',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbor solicitation',
  136: 'neighbor advertisement',
  137: 'redirect',
  143: 'multicast listener report v2',
};

const echo = (bytes: Uint8Array, at: number, length: number): string =>
  ` id ${u16(bytes, at + 4)} seq ${u16(bytes, at + 6)} len ${length - ICMP_HEADER_BYTES}`;

const numbered = (bytes: Uint8Array, at: number): string => `type ${u8(bytes, at)} code ${u8(bytes, at + 1)}`;

const icmp: Describe = (bytes, at, length) => {
  const type = u8(bytes, at);
  const name = ICMP_NAMES[type] ?? numbered(bytes, at);
  return { text: `ICMP ${name}${type === 0 || type === 8 ? echo(bytes, at, length) : ''}` };
};

const icmpv6: Describe = (bytes, at, length) => {
  const type = u8(bytes, at);
  const name = ICMPV6_NAMES[type] ?? numbered(bytes, at);
  if (type === 128 || type === 129) return { text: `ICMPv6 ${name}${echo(bytes, at, length)}` };
  const hasTarget = length >= 24 && bytes.length >= at + 24;
  if (type === 135 && hasTarget) return { text: `ICMPv6 ${name}, who has ${formatIpv6(bytes, at + 8)}` };
  if (type === 136 && hasTarget) return { text: `ICMPv6 ${name}, target ${formatIpv6(bytes, at + 8)}` };
  return { text: `ICMPv6 ${name}` };
};

interface Protocol {
  readonly name: string;
  /** Shortest header; anything shorter is not described further. */
  readonly headerBytes: number;
  readonly describe: Describe;
}

const named =
  (name: string): Describe =>
  (_bytes, _at, length) => ({ text: `${name} len ${length}` });

/** By IP protocol number. */
const PROTOCOLS: Readonly<Record<number, Protocol>> = {
  1: { name: 'ICMP', headerBytes: ICMP_HEADER_BYTES, describe: icmp },
  2: { name: 'IGMP', headerBytes: 0, describe: named('IGMP') },
  6: { name: 'TCP', headerBytes: TCP_HEADER_BYTES, describe: tcp },
  17: { name: 'UDP', headerBytes: UDP_HEADER_BYTES, describe: udp },
  47: { name: 'GRE', headerBytes: 0, describe: named('GRE') },
  50: { name: 'ESP', headerBytes: 0, describe: named('ESP') },
  58: { name: 'ICMPv6', headerBytes: ICMP_HEADER_BYTES, describe: icmpv6 },
  89: { name: 'OSPF', headerBytes: 0, describe: named('OSPF') },
  132: { name: 'SCTP', headerBytes: 0, describe: named('SCTP') },
};

/**
 * Describes what an IP packet carries.
 * @param protocol IP protocol number
 * @param length bytes the IP header grants it
 */
export function describeTransport(
  protocol: number,
  bytes: Uint8Array,
  at: number,
  length: number,
): Described {
  const known = PROTOCOLS[protocol];
  if (known === undefined) return { text: `protocol ${protocol} len ${length}` };
  const present = Math.min(length, bytes.length - at);
  if (present < known.headerBytes) return { text: `${known.name}, cut short` };
  return known.describe(bytes, at, length);
}
