/**
 * The hold file: what lies where. All little-endian numbers of the machine itself, for the file does not leave it.
 *
 *       0  magic, stored last of all
 *      16  number of names                 | int32, each changed by one atomic store
 *      20  burst: the name of its port     |
 *      24         position of its first frame
 *      28         frames in it, 0 when none is under way
 *    4096  notes of the burst: which of its frames have been sent (sys/send-notes.ts)
 *    8192  heads: for each name, int32, the position of the first frame not yet delivered
 *   16384  names of ports, each a byte of length and its UTF-8
 *  196608  segments of 1 MiB
 *
 * A segment begins with its sequence (uint32, from 1 on; 0 in one that is not in use) and the number of its bytes that
 * hold (int32). From 16 on it is a log of records, each beginning at a multiple of 8:
 *
 *   frame   0  kind and length of what is stored     entry   0  kind and name of the port
 *           4  name of its ingress                           4  position in the port's queue
 *           8  sequence, a double                            8  place of the frame in the file
 *          16  time, nanoseconds, uint64                    12  its sequence's lower 32 bits
 *          24  virtio-net header, then the frame
 *
 * Positions number the places of a queue: the next one at the tail is one more than the last, one put before the head
 * is one less than the head. Two entries for one position: the later counts. They wrap, and are compared by difference.
 */
import { MAX_FRAME_BYTES, VNET_HEADER_BYTES } from '../frame/types.js';

export const MAGIC = Buffer.from('SWhold1\n', 'latin1');
export const NAMES_WORD = 16 / 4;
export const BURST_NAME_WORD = 20 / 4;
export const BURST_POSITION_WORD = 24 / 4;
export const BURST_COUNT_WORD = 28 / 4;
export const NOTES_AT = 4096;
export const HEADS_AT = 8192;
export const MAX_NAMES = 2048;
export const NAMES_AT = 16_384;
export const SEGMENTS_AT = 196_608;
export const MAX_NAME_BYTES = 255;

export const SEGMENT_BYTES = 1024 * 1024;
/** What the file may hold: 1 GiB. */
export const MAX_SEGMENTS = 1024;
export const MOST_BYTES = SEGMENTS_AT + MAX_SEGMENTS * SEGMENT_BYTES;
export const SEGMENT_HEADER_BYTES = 16;

export const FRAME_KIND = 0x01;
export const ENTRY_KIND = 0x02;
/** A record's first word: its kind above, 24 bits of length or name below. */
export const KIND_SHIFT = 24;
export const LOW_MASK = 0xffffff;
export const FRAME_HEAD_BYTES = 24;
export const ENTRY_BYTES = 16;
export const MAX_STORED_BYTES = VNET_HEADER_BYTES + MAX_FRAME_BYTES;

export const aligned = (bytes: number): number => (bytes + 7) & ~7;
export const segmentAt = (segment: number): number => SEGMENTS_AT + segment * SEGMENT_BYTES;
export const segmentOf = (place: number): number => Math.floor((place - SEGMENTS_AT) / SEGMENT_BYTES);
