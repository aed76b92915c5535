/** ARP for IPv4 over Ethernet (RFC 826), and the probe of RFC 5227. Addresses are numbers: 48 and 32 bits. */
import { ETHERTYPE, VLAN_TAG_BYTES } from './ethernet.js';
import { MIN_FRAME_BYTES } from './types.js';

/** Behind the Ethernet header. */
export const ARP_BYTES = 28;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

/** Field offsets. */
const HARDWARE = 0;
const ADDRESS_LENGTHS = 4;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;

/** Hardware type 1 (Ethernet), protocol 0x0800 (IPv4). */
const IPV4_OVER_ETHERNET = 0x0001_0800;
const LENGTHS = 0x0604;
const BROADCAST_MAC = 0xffff_ffff_ffff;

export interface Arp {
  readonly operation: number;
  readonly senderMac: number;
  readonly senderIp: number;
  readonly targetMac: number;
  readonly targetIp: number;
}

/** Reads the ARP packet at `at`, in a frame that ends at `end`; undefined when it is none for IPv4 over Ethernet. */
export function parseArp(bytes: Buffer, at: number, end: number): Arp | undefined {
  if (end - at < ARP_BYTES || end > bytes.length) return undefined;
  if (bytes.readUInt32BE(at + HARDWARE) !== IPV4_OVER_ETHERNET) return undefined;
  if (bytes.readUInt16BE(at + ADDRESS_LENGTHS) !== LENGTHS) return undefined;
  return {
    operation: bytes.readUInt16BE(at + OPERATION),
    senderMac: bytes.readUIntBE(at + SENDER_MAC, 6),
    senderIp: bytes.readUInt32BE(at + SENDER_IP),
    targetMac: bytes.readUIntBE(at + TARGET_MAC, 6),
    targetIp: bytes.readUInt32BE(at + TARGET_IP),
  };
}

/** The whole frame, padded to the shortest Ethernet allows. @param vlan its tag's VLAN, 0 for none */
export function encodeArp(arp: Arp, destination: number, vlan = 0): Buffer {
  const frame = Buffer.alloc(MIN_FRAME_BYTES);
  frame.writeUIntBE(destination, 0, 6);
  frame.writeUIntBE(arp.senderMac, 6, 6);
  let at = 12;
  if (vlan !== 0) {
    frame.writeUInt16BE(ETHERTYPE.vlan, at);
    frame.writeUInt16BE(vlan, at + 2);
    at += VLAN_TAG_BYTES;
  }
  frame.writeUInt16BE(ETHERTYPE.arp, at);
  at += 2;
  frame.writeUInt32BE(IPV4_OVER_ETHERNET, at + HARDWARE);
  frame.writeUInt16BE(LENGTHS, at + ADDRESS_LENGTHS);
  frame.writeUInt16BE(arp.operation, at + OPERATION);
  frame.writeUIntBE(arp.senderMac, at + SENDER_MAC, 6);
  frame.writeUInt32BE(arp.senderIp, at + SENDER_IP);
  frame.writeUIntBE(arp.targetMac, at + TARGET_MAC, 6);
  frame.writeUInt32BE(arp.targetIp, at + TARGET_IP);
  return frame;
}

/**
 * Asks whether anybody has this address, without claiming one (RFC 5227, 2.1.1): a request from 0.0.0.0, which its
 * owner answers and from which nobody learns anything.
 */
export function encodeArpProbe(senderMac: number, targetIp: number, vlan = 0): Buffer {
  const probe = { operation: ARP_REQUEST, senderMac, senderIp: 0, targetMac: 0, targetIp };
  return encodeArp(probe, BROADCAST_MAC, vlan);
}
