/**
 * The sentinel: a dummy frame sent behind the last real one. Once it has been read, every earlier frame has reached
 * the guest's receive ring, because a hypervisor reads its TAP no further while a frame waits in its own queue.
 *
 * Local experimental EtherType (IEEE 802, 0x88b5), to a reserved group address that bridges do not forward (802.1D
 * table 7-10) and no NIC subscribes to, with a nonce of its own per hold: a promiscuous or bridging guest that sends
 * it back is recognised by it, and no guest can forge one.
 */
import { randomBytes } from 'node:crypto';
import { u16 } from './bytes.js';
import { MIN_FRAME_BYTES } from './types.js';

const DESTINATION = Buffer.from([0x01, 0x80, 0xc2, 0x00, 0x00, 0x0f]);
const SOURCE = Buffer.from([0x02, 0x53, 0x57, 0x00, 0x00, 0x01]);
export const SENTINEL_ETHERTYPE = 0x88b5;
const MAGIC = Buffer.from('STILLWIRE', 'latin1');
const NONCE_OFFSET = 14 + MAGIC.length;
export const NONCE_BYTES = 16;

export const newNonce = (): Buffer => randomBytes(NONCE_BYTES);

/** A sentinel of 60 bytes. */
export function encodeSentinel(nonce: Uint8Array): Buffer {
  const frame = Buffer.alloc(MIN_FRAME_BYTES);
  DESTINATION.copy(frame, 0);
  SOURCE.copy(frame, 6);
  frame.writeUInt16BE(SENTINEL_ETHERTYPE, 12);
  MAGIC.copy(frame, 14);
  frame.set(nonce, NONCE_OFFSET);
  return frame;
}

/**
 * Whether a frame is a sentinel with one of these nonces. `typeAt` is where its EtherType lies: behind
 * the addresses, or behind a tag that a guest put in; `end`, where the frame ends.
 */
export function isSentinel(
  bytes: Buffer,
  typeAt: number,
  end: number,
  nonces: readonly Uint8Array[],
): boolean {
  const at = typeAt + 2 + MAGIC.length;
  if (u16(bytes, typeAt) !== SENTINEL_ETHERTYPE || at + NONCE_BYTES > end) return false;
  return nonces.some((nonce) => bytes.compare(nonce, 0, NONCE_BYTES, at, at + NONCE_BYTES) === 0);
}
