/** The Internet checksum (RFC 1071): ones' complement of the ones' complement sum of 16-bit words. */

/**
 * Adds the words of `bytes` from `start` to `end` to `sum`; an odd last byte counts as followed by a zero. Unfolded:
 * good for a few megabytes before it would leave 2^53.
 */
export function addWords(sum: number, bytes: Uint8Array, start: number, end: number): number {
  let total = sum;
  let at = start;
  for (; at + 1 < end; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  return at < end ? total + (bytes[at]! << 8) : total;
}

/** The checksum of an unfolded sum. */
export function foldChecksum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x1_0000) + Math.floor(folded / 0x1_0000);
  return ~folded & 0xffff;
}

/** As {@link foldChecksum}, for TCP and UDP: 0 is sent as its other form, since in UDP it means "none" (RFC 768). */
export const foldTransport = (sum: number): number => foldChecksum(sum) || 0xffff;
