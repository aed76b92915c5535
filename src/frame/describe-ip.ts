/** IPv4 and IPv6 as text: addresses, fragments, and what they carry. */
import { formatIpv4, formatIpv6 } from './address.js';
import { u16, u32, u8 } from './bytes.js';
import { describeTransport } from './describe-transport.js';
import type { Described } from './describe-transport.js';

const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const NEXT_FRAGMENT = 44;
/** Authentication header: its length counts words of 4 bytes, unlike all others. */
const NEXT_AUTHENTICATION = 51;
/** Hop-by-hop, routing, fragment, authentication, destination options. */
const EXTENSIONS = new Set([0, 43, NEXT_FRAGMENT, NEXT_AUTHENTICATION, 60]);
const NO_NEXT_HEADER = 59;

interface Addresses {
  readonly version: 'IPv4' | 'IPv6';
  readonly source: string;
  readonly destination: string;
}

function line({ version, source, destination }: Addresses, carried: Described): Described {
  const { ports } = carried;
  const end = (address: string, port: number): string =>
    version === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
  const from = ports === undefined ? source : end(source, ports.source);
  const to = ports === undefined ? destination : end(destination, ports.destination);
  return { ...carried, text: `${version} ${from} > ${to} ${carried.text}` };
}

/** A fragment behind the first has no transport header to describe. */
const fragment = (id: number, offset: number, more: boolean): string =>
  `fragment id ${id} offset ${offset}${more ? '+' : ''}`;

/** Describes the IPv4 packet at `at`. Never throws. */
export function describeIpv4(bytes: Uint8Array, at: number): Described {
  const left = bytes.length - at;
  if (left < IPV4_HEADER_BYTES) return { text: 'IPv4, cut short' };
  const version = u8(bytes, at) >> 4;
  const header = (u8(bytes, at) & 0x0f) * 4;
  // 0 in a super-frame of more than 64 KiB: then the frame's own length counts.
  const total = u16(bytes, at + 2) || left;
  if (version !== 4 || header < IPV4_HEADER_BYTES || total < header) return { text: 'IPv4, bad header' };
  const addresses: Addresses = {
    version: 'IPv4',
    source: formatIpv4(bytes, at + 12),
    destination: formatIpv4(bytes, at + 16),
  };
  const length = total - header;
  const flags = u16(bytes, at + 6);
  const offset = (flags & 0x1fff) * 8;
  const more = (flags & 0x2000) !== 0;
  const note = offset > 0 || more ? fragment(u16(bytes, at + 4), offset, more) : '';
  if (offset > 0) return line(addresses, { text: `protocol ${u8(bytes, at + 9)} ${note} len ${length}` });
  const carried = line(addresses, describeTransport(u8(bytes, at + 9), bytes, at + header, length));
  return note === '' ? carried : { ...carried, text: `${carried.text}, ${note}` };
}

/** Describes the IPv6 packet at `at`, its extension headers passed over. Never throws. */
export function describeIpv6(bytes: Uint8Array, at: number): Described {
  const left = bytes.length - at;
  if (left < IPV6_HEADER_BYTES) return { text: 'IPv6, cut short' };
  if (u8(bytes, at) >> 4 !== 6) return { text: 'IPv6, bad header' };
  const addresses: Addresses = {
    version: 'IPv6',
    source: formatIpv6(bytes, at + 8),
    destination: formatIpv6(bytes, at + 24),
  };
  // 0 in a jumbogram and in a super-frame of more than 64 KiB.
  let length = u16(bytes, at + 4) || left - IPV6_HEADER_BYTES;
  let next = u8(bytes, at + 6);
  let here = at + IPV6_HEADER_BYTES;
  let note = '';
  // Every extension is at least 8 bytes long, so the walk ends with the frame.
  while (EXTENSIONS.has(next)) {
    const lengthField = u8(bytes, here + 1);
    const size =
      next === NEXT_FRAGMENT
        ? 8
        : next === NEXT_AUTHENTICATION
          ? (lengthField + 2) * 4
          : (lengthField + 1) * 8;
    if (size > length || here + size > bytes.length) {
      return line(addresses, { text: `extension header ${next}, cut short` });
    }
    if (next === NEXT_FRAGMENT) {
      const word = u16(bytes, here + 2);
      note = fragment(u32(bytes, here + 4), word & 0xfff8, (word & 1) !== 0);
      if ((word & 0xfff8) !== 0) {
        return line(addresses, { text: `protocol ${u8(bytes, here)} ${note} len ${length - size}` });
      }
    }
    next = u8(bytes, here);
    here += size;
    length -= size;
  }
  if (next === NO_NEXT_HEADER) return line(addresses, { text: 'no next header' });
  const carried = line(addresses, describeTransport(next, bytes, here, length));
  return note === '' ? carried : { ...carried, text: `${carried.text}, ${note}` };
}
