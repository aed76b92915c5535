/**
 * Taking back what a guest has not read, on a TAP.
 *
 * What lies in the ring is read out through our own descriptor. The frame the hypervisor has in its own queue is the
 * one sent just before the first of those, and is known from the shadow. Which one that is, is counted from the end:
 * the ring is the tail of what was sent, and each frame is one entry in it, or as many as the kernel has made segments
 * of it. Then the place is proven by comparing. Where it cannot be proven nothing is claimed to be stuck: so it is
 * when the guest began to read at this very moment, and what was taken is then on its way into the guest.
 *
 * What remains doubtful, apart from the port being unproven anyhow:
 * - a hypervisor that was only slow may have delivered the frame before the ring's first already;
 * - a super-frame that was taken, with nothing behind it to tell by, is held to have been segmented or not as the
 *   device is set now, which the guest may have changed since;
 * - segments of anything but TCP are not cut anew: then nothing is claimed to be stuck.
 */
import { isSameFrame, isSuperFrame, partOf, partsOf } from '../frame/super-frame.js';
import { MAX_FRAME_BYTES, VNET_HEADER_BYTES } from '../frame/types.js';
import { readRing, vnetHeaderBytes } from '../sys/tap.js';
import type { Shadow } from './shadow.js';

/** Reads a TAP's ring empty; each frame in stored form. */
export function readOut(tunFd: number): Buffer[] {
  const header = vnetHeaderBytes(tunFd); // the guest's driver decides
  const buffer = Buffer.alloc(header + MAX_FRAME_BYTES);
  const frames: Buffer[] = [];
  for (;;) {
    const length = readRing(tunFd, buffer);
    if (length === 0) return frames;
    frames.push(Buffer.concat([buffer.subarray(0, VNET_HEADER_BYTES), buffer.subarray(header, length)]));
  }
}

/**
 * The frame the reader had taken before the first of `ring`, in stored form; undefined when it is not known.
 * @param ring all that lay unread, not empty
 * @param isWhole whether the device takes super-frames whole
 */
export function takenBefore(
  shadow: Shadow,
  ring: readonly Buffer[],
  isWhole: () => boolean,
): Buffer | undefined {
  const first = ring[0]!;
  let unread = ring.length;
  for (let i = shadow.length - 1; i >= 0; i--) {
    const sent = shadow.at(i);
    const parts = isSuperFrame(sent) && !isSuperFrame(ring[unread - 1]!) ? partsOf(sent) : 1;
    if (parts === undefined) return undefined;
    unread -= parts;
    if (unread > 0) continue;
    // The first in the ring is the segment after those that were read, of `parts`.
    const head = parts === 1 ? sent : partOf(sent, -unread);
    if (head === undefined || !isSameFrame(head, first)) return undefined;
    if (unread < 0) return partOf(sent, -unread - 1);
    if (i === 0) return undefined;
    const before = shadow.at(i - 1);
    return isSuperFrame(before) && !isWhole() ? partOf(before, (partsOf(before) ?? 0) - 1) : before;
  }
  return undefined;
}
