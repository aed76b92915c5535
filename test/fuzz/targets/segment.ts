/**
 * What ports without virtio-net headers get of a frame that asks for checksums or to be cut: nothing, or whole frames
 * that carry each byte of the payload once, in order, with headers that are true.
 */
import * as fc from 'fast-check';
import { toPlain } from '../../../src/frame/segment.js';
import { anyFrame, anyVnet } from '../frames.js';
import { target, wrong } from '../target.js';

const MOST_SEGMENTS = 2048;
/** Around the frame: what must never be seen. */
const AROUND = 64;
const POISON = 0xa5;

export default target(() => ({
  inputs: fc.record({ bytes: anyFrame, vnet: anyVnet }),
  check({ bytes, vnet }) {
    const memory = Buffer.alloc(10 + AROUND + bytes.length + AROUND, POISON);
    vnet.copy(memory, 0);
    bytes.copy(memory, 10 + AROUND);
    const before = Buffer.from(memory);
    const made = toPlain(memory, 0, 10 + AROUND, bytes.length);
    if (!memory.equals(before)) wrong('the frame itself was changed');
    if (made === undefined) return;
    if (made.length === 0 || made.length > MOST_SEGMENTS) wrong(`${made.length} frames`);
    let total = 0;
    for (const stored of made) {
      if (stored.subarray(0, 10).some((byte) => byte !== 0)) wrong('a header that still asks for something');
      if (stored.length < 70) wrong(`a frame of ${stored.length - 10} bytes`);
      total += stored.length - 10;
    }
    // Each has the headers of the first, and padding; the payload is there once.
    const most = bytes.length + made.length * (AROUND + 256);
    if (total > most) wrong(`${total} bytes of ${bytes.length}`);
    const poisoned = Buffer.alloc(16, POISON);
    if (!bytes.includes(poisoned) && made.some((stored) => stored.includes(poisoned)))
      wrong('memory around the frame');
  },
}));
