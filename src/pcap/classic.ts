/**
 * Classic pcap, for readers that know nothing newer. It has no interfaces, comments or ids, and we write it with
 * the microsecond magic, which every reader takes: the last three digits of the time are lost.
 */
import { StillwireError } from '../errors/index.js';
import { LINKTYPE_ETHERNET, MAX_PACKET_BYTES } from './format.js';

const MICROSECOND_MAGIC = 0xa1b2c3d4;
const HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

/**
 * A whole classic pcap file, version 2.4, little-endian, snapshot length {@link MAX_PACKET_BYTES}.
 * @throws StillwireError INTERNAL for a time outside 1970..2106 or a packet longer than the snapshot length
 */
export function encodeClassic(
  packets: readonly { readonly timeNs: bigint; readonly bytes: Uint8Array }[],
): Uint8Array {
  const total = packets.reduce((sum, { bytes }) => sum + RECORD_HEADER_BYTES + bytes.length, HEADER_BYTES);
  const file = new Uint8Array(total);
  const view = new DataView(file.buffer);
  view.setUint32(0, MICROSECOND_MAGIC, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, MAX_PACKET_BYTES, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  let at = HEADER_BYTES;
  for (const { timeNs, bytes } of packets) {
    const seconds = timeNs / 1_000_000_000n;
    if (timeNs < 0n || seconds > 0xffff_ffffn) {
      throw new StillwireError('INTERNAL', `pcap: time ${timeNs.toString()} ns does not fit`);
    }
    if (bytes.length > MAX_PACKET_BYTES) {
      throw new StillwireError('INTERNAL', `pcap: a packet of ${bytes.length} bytes is too long`);
    }
    view.setUint32(at, Number(seconds), true);
    view.setUint32(at + 4, Number((timeNs % 1_000_000_000n) / 1_000n), true);
    view.setUint32(at + 8, bytes.length, true);
    view.setUint32(at + 12, bytes.length, true);
    file.set(bytes, at + RECORD_HEADER_BYTES);
    at += RECORD_HEADER_BYTES + bytes.length;
  }
  return file;
}
