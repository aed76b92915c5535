/**
 * The cookie: a marker sent to every port at once behind the last frame, which whoever is there answers. An answer says
 * that the marker was received, and so was every frame before it, because the way to a guest is a queue. No counter of
 * the kernel's stands behind that.
 *
 * A marker has two forms, and the answer to either counts:
 *
 *   echo     a frame of our own (local experimental EtherType) that a small agent in the guest sends back;
 *            docs/echo-agent.md is its specification
 *   probe    an ARP probe for an IPv4 address of the guest (RFC 5227); every IPv4 stack answers one. Linux does so
 *            without a trace in its neighbour table (net/ipv4/arp.c, arp_process: sender address 0)
 *
 * Both carry the nonce of the hold and the number of the port they were sent to: the echo in its payload, the probe in
 * the MAC address it is sent from, to which the answer comes. So a guest cannot make up an answer to a marker that it has
 * not received, and an answer that a bridging guest lets out at another of its ports counts for neither.
 */
import { encodeArpProbe } from './arp.js';
import { ETHERTYPE, HEADER_BYTES } from './ethernet.js';
import { NONCE_BYTES } from './sentinel.js';
import { MIN_FRAME_BYTES } from './types.js';

/** What an echo frame says. `here` is what an agent tells by itself, so that its answer can be waited for. */
export const ECHO_REQUEST = 1;
export const ECHO_ANSWER = 2;
export const ECHO_HERE = 3;

/** Field offsets behind the EtherType. */
const MAGIC = Buffer.from('STILLECHO', 'latin1');
const OPERATION = MAGIC.length;
const NONCE = OPERATION + 1;
const PORT = NONCE + NONCE_BYTES;
const ECHO_BYTES = PORT + 2;

/** Bits of a cookie's MAC that name the port; the 36 before them are the nonce's. */
const PORT_BITS = 10;
const PORT_MASK = 2 ** PORT_BITS - 1;
const BROADCAST_MAC = 0xffff_ffff_ffff;

/** The part of a nonce that shows in a MAC: individual, locally administered, the port's bits zero. */
export function cookieStem(nonce: Uint8Array): number {
  const first = (nonce[0]! & 0xfc) | 0x02;
  const rest = Buffer.from(nonce.buffer, nonce.byteOffset + 1, 5).readUIntBE(0, 5);
  return first * 2 ** 40 + (rest - (rest & PORT_MASK));
}

/** Where the probe for a port comes from. @param port its number, below 1024 */
export const cookieMac = (nonce: Uint8Array, port: number): number => cookieStem(nonce) + port;

/** The stem of any MAC, to be compared with those of known nonces. */
export const stemOf = (mac: number): number => mac - (mac % (PORT_MASK + 1));

/** The port number in a cookie's MAC. */
export const portOf = (mac: number): number => mac % (PORT_MASK + 1);

export interface Echo {
  readonly operation: number;
  readonly nonce: Uint8Array;
  readonly port: number;
}

/** An echo frame of 60 bytes. */
export function encodeEcho({ operation, nonce, port }: Echo, source: number, destination: number): Buffer {
  const frame = Buffer.alloc(MIN_FRAME_BYTES);
  frame.writeUIntBE(destination, 0, 6);
  frame.writeUIntBE(source, 6, 6);
  frame.writeUInt16BE(ETHERTYPE.experimental, 12);
  frame.set(MAGIC, HEADER_BYTES);
  frame.writeUInt8(operation, HEADER_BYTES + OPERATION);
  frame.set(nonce, HEADER_BYTES + NONCE);
  frame.writeUInt16BE(port, HEADER_BYTES + PORT);
  return frame;
}

/** Reads what stands behind the EtherType, at `at`; undefined when it is no echo. The nonce is a view of `bytes`. */
export function parseEcho(bytes: Buffer, at: number, end: number): Echo | undefined {
  if (end - at < ECHO_BYTES || end > bytes.length) return undefined;
  if (bytes.compare(MAGIC, 0, MAGIC.length, at, at + MAGIC.length) !== 0) return undefined;
  return {
    operation: bytes.readUInt8(at + OPERATION),
    nonce: bytes.subarray(at + NONCE, at + NONCE + NONCE_BYTES),
    port: bytes.readUInt16BE(at + PORT),
  };
}

/** The echo request of a cookie. */
export const encodeEchoRequest = (nonce: Uint8Array, port: number): Buffer =>
  encodeEcho({ operation: ECHO_REQUEST, nonce, port }, cookieMac(nonce, port), BROADCAST_MAC);

/** The probe of a cookie. @param vlan the tag it is to carry, 0 for none */
export const encodeProbe = (nonce: Uint8Array, port: number, ip: number, vlan: number): Buffer =>
  encodeArpProbe(cookieMac(nonce, port), ip, vlan);
