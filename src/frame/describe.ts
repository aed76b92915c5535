/**
 * A frame as one line for a person, in the manner of tcpdump: stations, VLANs, what is inside. It describes
 * whatever a guest may have sent, so nothing in the frame is trusted: lengths are held against the frame, bytes
 * past its end read as zero, and no byte of it is ever printed as a character.
 */
import { formatIpv4 } from './address.js';
import { u16, u32, u8 } from './bytes.js';
import { describeIpv4, describeIpv6 } from './describe-ip.js';
import type { Described } from './describe-transport.js';
import {
  DESTINATION,
  ETHERTYPE,
  formatMac,
  HEADER_BYTES,
  isReservedMulticast,
  MIN_ETHERTYPE,
  SOURCE,
  TYPE,
  VLAN_TAG_BYTES,
} from './ethernet.js';

const ARP_BYTES = 28;
const ARP_IPV4_OVER_ETHERNET = 0x0001_0800;
/** More tags than any real frame carries; the rest of a frame made of tags is not spelled out. */
const MAX_TAGS = 4;
/** STP: 802.2 LLC addresses 0x42 to 0x42, unnumbered information. */
const LLC_STP = 0x4242;
const BPDU_NAMES: Readonly<Record<number, string>> = {
  0x00: 'configuration',
  0x02: 'rapid',
  0x80: 'topology change',
};
const SLOW_NAMES: Readonly<Record<number, string>> = { 1: 'LACP', 2: 'LACP marker', 3: 'OAM' };

const hex16 = (value: number): string => `0x${value.toString(16).padStart(4, '0')}`;

function describeArp(bytes: Uint8Array, at: number, name: string): string {
  if (bytes.length - at < ARP_BYTES) return `${name}, cut short`;
  const operation = u16(bytes, at + 6);
  if (u32(bytes, at) !== ARP_IPV4_OVER_ETHERNET || u16(bytes, at + 4) !== 0x0604) {
    return `${name} operation ${operation}, not IPv4 over Ethernet`;
  }
  const sender = formatIpv4(bytes, at + 14);
  const target = formatIpv4(bytes, at + 24);
  const senderMac = formatMac(bytes, at + 8);
  if (operation === 1) {
    if (sender === '0.0.0.0') return `${name} probe who-has ${target}`;
    return `${name} who-has ${target} tell ${sender}${sender === target ? ' (announcement)' : ''}`;
  }
  if (operation === 2) return `${name} ${sender} is-at ${senderMac}`;
  if (operation === 3) return `${name} who-is ${formatMac(bytes, at + 18)} tell ${senderMac}`;
  if (operation === 4) return `${name} ${formatMac(bytes, at + 18)} at ${target}`;
  return `${name} operation ${operation}`;
}

/** An 802.3 frame, whose type field is a length, with an 802.2 header. */
function describeLlc(bytes: Uint8Array, at: number, length: number): string {
  if (u16(bytes, at) === LLC_STP && u8(bytes, at + 2) === 3) {
    const kind = u8(bytes, at + 6);
    return `STP ${BPDU_NAMES[kind] ?? `type ${kind}`}`;
  }
  return `802.3 LLC ${hex16(u16(bytes, at))} len ${length}`;
}

function describePayload(type: number, bytes: Uint8Array, at: number): Described {
  const length = Math.max(0, bytes.length - at);
  switch (type) {
    case ETHERTYPE.ipv4:
      return describeIpv4(bytes, at);
    case ETHERTYPE.ipv6:
      return describeIpv6(bytes, at);
    case ETHERTYPE.arp:
      return { text: describeArp(bytes, at, 'ARP') };
    case ETHERTYPE.rarp:
      return { text: describeArp(bytes, at, 'RARP') };
    case ETHERTYPE.lldp:
      return { text: `LLDP len ${length}` };
    case ETHERTYPE.slow:
      return { text: SLOW_NAMES[u8(bytes, at)] ?? `slow protocol ${u8(bytes, at)}` };
    case ETHERTYPE.pause:
      return { text: 'MAC control' };
    case ETHERTYPE.eapol:
      return { text: `EAPOL len ${length}` };
    case ETHERTYPE.ptp:
      return { text: `PTP len ${length}` };
    case ETHERTYPE.experimental:
      return { text: `EtherType ${hex16(type)} (local experimental) len ${length}` };
    default:
      if (type < MIN_ETHERTYPE) return { text: describeLlc(bytes, at, type) };
      return { text: `EtherType ${hex16(type)} len ${length}` };
  }
}

/** Segments × their size, from a virtio-net header with GSO; empty without. */
function describeSuperframe(vnet: Uint8Array, payload: number): string {
  // struct virtio_net_hdr, little-endian: flags u8, gso_type u8, hdr_len u16, gso_size u16, …
  const gsoType = u8(vnet, 1);
  const size = u8(vnet, 4) | (u8(vnet, 5) << 8);
  if (gsoType === 0 || size === 0) return '';
  return `, super-frame ${Math.max(1, Math.ceil(payload / size))} × ${size}`;
}

/**
 * Describes any bytes as one line of printable ASCII and `×`. Never throws, whatever the bytes.
 * @param bytes the frame from its destination address on, without FCS
 * @param vnet its virtio-net header (struct virtio_net_hdr, 10 bytes); absent for a plain frame
 */
export function describeFrame(bytes: Uint8Array, vnet?: Uint8Array): string {
  if (bytes.length < HEADER_BYTES) return `runt of ${bytes.length} bytes`;
  const parts = [`${formatMac(bytes, SOURCE)} > ${formatMac(bytes, DESTINATION)}`];
  let at = TYPE;
  let type = u16(bytes, at);
  while (type === ETHERTYPE.vlan || type === ETHERTYPE.serviceVlan) {
    if (bytes.length < at + VLAN_TAG_BYTES + 2) return [...parts, 'VLAN tag, cut short'].join(', ');
    if (parts.length > MAX_TAGS) return [...parts, 'more tags'].join(', ');
    const tag = u16(bytes, at + 2);
    const priority = tag >> 13;
    parts.push(`vlan ${tag & 0x0fff}${priority > 0 ? ` priority ${priority}` : ''}`);
    at += VLAN_TAG_BYTES;
    type = u16(bytes, at);
  }
  const { text, payload } = describePayload(type, bytes, at + 2);
  parts.push(text);
  if (isReservedMulticast(bytes)) parts.push('reserved multicast');
  const superframe = vnet === undefined ? '' : describeSuperframe(vnet, payload ?? bytes.length - at - 2);
  return parts.join(', ') + superframe;
}
