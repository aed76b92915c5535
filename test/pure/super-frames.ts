/** TCP super-frames in stored form, and their segments with finished checksums, as a kernel would make them. */
import { ETHERTYPE } from '../../src/frame/ethernet.js';

const PART_BYTES = 100;

export interface SuperFrameOptions {
  readonly parts: number;
  readonly version: number;
  readonly tag: boolean;
}

function checksum(...pieces: Buffer[]): number {
  let sum = 0;
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i += 2) sum += (piece[i]! << 8) | (piece[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** Super-frame number `n`; the last of its `parts` is a little shorter. */
export function superFrame(n: number, { parts, version, tag }: SuperFrameOptions): Buffer {
  const payload = Buffer.alloc(parts * PART_BYTES - 7, n + 1);
  for (let i = 0; i < payload.length; i += 4) payload.writeUInt16BE(i, Math.min(i, payload.length - 2));
  const ethernet = Buffer.from([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, ...(tag ? [0x81, 0, 0, 7] : []), 0, 0]);
  ethernet.writeUInt16BE(version === 4 ? ETHERTYPE.ipv4 : ETHERTYPE.ipv6, ethernet.length - 2);
  const tcp = Buffer.alloc(32, 1); // with options
  tcp.writeUInt32BE(0xffffff80 + n, 4); // the sequence runs over
  tcp[12] = 0x80;
  tcp[13] = 0x99; // CWR, ACK, PSH, FIN
  const ip = Buffer.alloc(version === 4 ? 20 : 40);
  ip[0] = version === 4 ? 0x45 : 0x60;
  if (version === 4) {
    ip.writeUInt16BE(20 + tcp.length + payload.length, 2);
    ip.writeUInt16BE(0xffff, 4);
    ip[8] = 64;
    ip[9] = 6;
    ip.set([10, 1, 0, 1, 10, 1, 0, 9], 12);
    ip.writeUInt16BE(~checksum(ip) & 0xffff, 10);
  } else {
    ip.writeUInt16BE(tcp.length + payload.length, 4);
    ip[6] = 6;
    ip[7] = 64;
    ip.fill(0xfd, 8);
  }
  const addresses = version === 4 ? ip.subarray(12) : ip.subarray(8);
  tcp.writeUInt16BE(checksum(addresses, Buffer.from([0, 6, 0, 0])), 16);
  const vnet = Buffer.alloc(10);
  vnet[0] = 1;
  vnet[1] = version === 4 ? 1 : 4;
  vnet.writeUInt16LE(ethernet.length + ip.length + tcp.length, 2);
  vnet.writeUInt16LE(PART_BYTES, 4);
  vnet.writeUInt16LE(ethernet.length + ip.length, 6);
  vnet.writeUInt16LE(16, 8);
  return Buffer.concat([vnet, ethernet, ip, tcp, payload]);
}

/** Finishes the checksum of a frame, as a device without checksum offload needs it. */
export function finished(stored: Buffer): Buffer {
  const done = Buffer.from(stored);
  const start = 10 + done.readUInt16LE(6);
  const at = start + done.readUInt16LE(8);
  const sum = ~checksum(done.subarray(start)) & 0xffff;
  done.fill(0, 0, 10);
  done.writeUInt16BE(sum, at);
  return done;
}
