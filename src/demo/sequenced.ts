/** The sequence-numbered datagrams of the traffic generator among frames in flight. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ETHERTYPE, HEADER_BYTES, TYPE } from '../frame/ethernet.js';
import { decodeInflight, INFLIGHT_FILE } from '../image/index.js';

const UDP = 17;
const UDP_HEADER_BYTES = 8;
const IPV6_HEADER_BYTES = 40;
const PORT = 7001;
const MAGIC = Buffer.from('SWT1', 'latin1');

/** Where the UDP header lies in an untagged frame; undefined when it is no UDP. IPv6 without extension headers. */
function udpOffset(frame: Buffer): number | undefined {
  if (frame.length < HEADER_BYTES + IPV6_HEADER_BYTES) return undefined;
  switch (frame.readUInt16BE(TYPE)) {
    case ETHERTYPE.ipv4: // RFC 791: protocol at 9, header length in words of four in the low half of octet 0
      return frame[HEADER_BYTES + 9] === UDP ? HEADER_BYTES + 4 * (frame[HEADER_BYTES]! & 0xf) : undefined;
    case ETHERTYPE.ipv6: // RFC 8200: next header at 6
      return frame[HEADER_BYTES + 6] === UDP ? HEADER_BYTES + IPV6_HEADER_BYTES : undefined;
    default:
      return undefined;
  }
}

/** Whether a frame carries a sequenced datagram: UDP to port 7001 whose payload begins with `SWT1`. */
export function isSequenced(bytes: Uint8Array): boolean {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const udp = udpOffset(frame);
  if (udp === undefined || frame.length < udp + UDP_HEADER_BYTES + MAGIC.length) return false;
  const payload = udp + UDP_HEADER_BYTES;
  return (
    frame.readUInt16BE(udp + 2) === PORT && MAGIC.equals(frame.subarray(payload, payload + MAGIC.length))
  );
}

/** Counts them in a checkpoint's pcapng. @throws StillwireError IMAGE_INVALID */
export async function countSequenced(checkpoint: string): Promise<number> {
  const { frames } = decodeInflight(await readFile(join(checkpoint, INFLIGHT_FILE)));
  return frames.filter(({ bytes }) => isSequenced(bytes)).length;
}
