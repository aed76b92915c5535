/** The Ethernet header (IEEE 802.3) and its addresses. */
import { StillwireError } from '../errors/index.js';

export const MAC_BYTES = 6;

/** Field offsets. */
export const DESTINATION = 0;
export const SOURCE = 6;
/** EtherType, or a tag's TPID; below {@link MIN_ETHERTYPE} the length of an 802.3 frame. */
export const TYPE = 12;
export const HEADER_BYTES = 14;
/** A VLAN tag at {@link TYPE}: TPID, then priority (3 bits), drop eligible (1) and VLAN id (12). */
export const VLAN_TAG_BYTES = 4;

export const MIN_ETHERTYPE = 0x0600;

export const ETHERTYPE = {
  ipv4: 0x0800,
  arp: 0x0806,
  rarp: 0x8035,
  vlan: 0x8100,
  ipv6: 0x86dd,
  pause: 0x8808,
  slow: 0x8809,
  eapol: 0x888e,
  /** IEEE local experimental 1: our sentinels. */
  experimental: 0x88b5,
  serviceVlan: 0x88a8,
  lldp: 0x88cc,
  ptp: 0x88f7,
} as const;

const hex = (byte: number): string => byte.toString(16).padStart(2, '0');

/** Lower-case and colon-separated. Bytes past the end of the frame read as 00. */
export function formatMac(bytes: Uint8Array, offset = 0): string {
  return Array.from({ length: MAC_BYTES }, (_, i) => hex(bytes[offset + i] ?? 0)).join(':');
}

/**
 * Six hexadecimal pairs between colons, in either case.
 * @throws StillwireError USAGE
 */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new StillwireError(
      'USAGE',
      `${JSON.stringify(text)} is not a MAC address such as 02:00:00:00:00:01`,
    );
  }
  return Uint8Array.from(text.split(':'), (pair) => Number.parseInt(pair, 16));
}

/** Whether the address at `offset` is a group address; broadcast is one. */
export function isMulticast(bytes: Uint8Array, offset = DESTINATION): boolean {
  return ((bytes[offset] ?? 0) & 1) === 1;
}

/** 01-80-C2-00-00-00 to -0F: link-local protocols that an 802.1D bridge keeps to itself (STP, LACP, LLDP). */
export function isReservedMulticast(bytes: Uint8Array, offset = DESTINATION): boolean {
  return (
    bytes[offset] === 0x01 &&
    bytes[offset + 1] === 0x80 &&
    bytes[offset + 2] === 0xc2 &&
    bytes[offset + 3] === 0 &&
    bytes[offset + 4] === 0 &&
    ((bytes[offset + 5] ?? 0xff) & 0xf0) === 0
  );
}
