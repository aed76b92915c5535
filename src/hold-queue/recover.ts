/**
 * Reads the hold file that a dead daemon left (layout.ts says what lies where, store.ts why it is true).
 *
 *   1. names, heads and the burst that was under way
 *   2. the segments in order of their sequence; of each, the entries not yet delivered: those at or behind their port's
 *      head, less those of the burst that the kernel has noted as sent; of two for one place the later
 *   3. the frames that these name
 *
 * It believes nothing: every number is checked before it is used, so that no bytes make it fail. What is damaged is
 * left out with what stands behind it in its segment. It holds one segment in memory, an entry's worth for each entry and the
 * frames that are owed, so it takes no more than a small multiple of the file.
 */
import { open, type FileHandle } from 'node:fs/promises';
import type { InflightFrame, PortId } from '../frame/types.js';
import { MIN_FRAME_BYTES, VNET_HEADER_BYTES } from '../frame/types.js';
import { isNoted, MAX_NOTED, NOTES_BYTES } from '../sys/index.js';
import * as File from './layout.js';

/** Frames in one queue, at most: more than a port ever holds (egress.ts). */
const MOST_BEHIND_HEAD = 2 ** 20;
const MIN_STORED_BYTES = VNET_HEADER_BYTES + MIN_FRAME_BYTES;

/** The bytes from `at` on, as many as there are; good until the next call. */
export type ReadAt = (at: number, bytes: number) => Promise<Buffer>;

interface Head {
  readonly names: readonly PortId[];
  readonly heads: Int32Array;
  /** Frames of the burst that have been sent: `name:position`. */
  readonly sent: ReadonlySet<string>;
}

/** An entry of a queue. */
interface Owed {
  readonly name: number;
  readonly place: number;
  readonly check: number;
}

async function readHead(read: ReadAt): Promise<Head | undefined> {
  const bytes = Buffer.from(await read(0, File.SEGMENTS_AT));
  if (bytes.length < File.SEGMENTS_AT || !File.MAGIC.equals(bytes.subarray(0, File.MAGIC.length))) {
    return undefined;
  }
  const word = (index: number): number => bytes.readInt32LE(4 * index);
  const names: PortId[] = [];
  const count = Math.min(word(File.NAMES_WORD), File.MAX_NAMES);
  for (let at = File.NAMES_AT; names.length < count;) {
    const end = at + 1 + (bytes[at] ?? 0);
    if (end > File.SEGMENTS_AT) break;
    names.push(bytes.toString('utf8', at + 1, end));
    at = end;
  }
  const sent = new Set<string>();
  const notes = bytes.subarray(File.NOTES_AT, File.NOTES_AT + NOTES_BYTES);
  const position = word(File.BURST_POSITION_WORD);
  for (let i = 0; i < Math.min(word(File.BURST_COUNT_WORD), MAX_NOTED); i++) {
    if (isNoted(notes, i)) sent.add(`${word(File.BURST_NAME_WORD)}:${(position + i) | 0}`);
  }
  const heads = Int32Array.from({ length: File.MAX_NAMES }, (_, i) => word(File.HEADS_AT / 4 + i));
  return { names, heads, sent };
}

/** Segments in use and the bytes that hold in each, in the order in which they were written. */
async function readSegments(read: ReadAt): Promise<{ segment: number; bytes: number }[]> {
  const found: { segment: number; sequence: number; bytes: number }[] = [];
  for (let segment = 0; segment < File.MAX_SEGMENTS; segment++) {
    const header = await read(File.segmentAt(segment), File.SEGMENT_HEADER_BYTES);
    if (header.length < File.SEGMENT_HEADER_BYTES) break;
    const sequence = header.readUInt32LE(0);
    const bytes = header.readInt32LE(4);
    if (sequence > 0 && bytes > File.SEGMENT_HEADER_BYTES && bytes <= File.SEGMENT_BYTES) {
      found.push({ segment, sequence, bytes });
    }
  }
  return found.sort((a, b) => a.sequence - b.sequence);
}

/** Length of the record at `at`, 0 when there is none. */
function recordBytes(log: Buffer, at: number): number {
  if (at + 4 > log.length) return 0;
  const first = log.readUInt32LE(at);
  const low = first & File.LOW_MASK;
  const kind = first >>> File.KIND_SHIFT;
  if (kind === File.ENTRY_KIND) return at + File.ENTRY_BYTES <= log.length ? File.ENTRY_BYTES : 0;
  if (kind !== File.FRAME_KIND || low < MIN_STORED_BYTES || low > File.MAX_STORED_BYTES) return 0;
  const bytes = File.aligned(File.FRAME_HEAD_BYTES + low);
  return at + bytes <= log.length ? bytes : 0;
}

/** Puts the entries of one segment into the queues they belong to. */
function takeEntries(
  log: Buffer,
  { names, heads, sent }: Head,
  queues: (Map<number, Owed> | undefined)[],
): void {
  for (let at = File.SEGMENT_HEADER_BYTES, bytes; (bytes = recordBytes(log, at)) > 0; at += bytes) {
    const first = log.readUInt32LE(at);
    const name = first & File.LOW_MASK;
    if (first >>> File.KIND_SHIFT !== File.ENTRY_KIND || name >= names.length) continue;
    const position = log.readInt32LE(at + 4);
    const behind = (position - heads[name]!) | 0;
    if (behind < 0 || behind >= MOST_BEHIND_HEAD || sent.has(`${name}:${position}`)) continue;
    const queue = (queues[name] ??= new Map<number, Owed>());
    queue.set(behind, { name, place: log.readUInt32LE(at + 8), check: log.readUInt32LE(at + 12) });
  }
}

/** The frame at `at`, if it is the one that the entries name; its bytes are a copy. */
function takeFrame(
  log: Buffer,
  at: number,
  entries: readonly Owed[],
  names: readonly PortId[],
): InflightFrame[] {
  if (at % 8 !== 0 || at < File.SEGMENT_HEADER_BYTES || recordBytes(log, at) === 0) return [];
  const first = log.readUInt32LE(at);
  if (first >>> File.KIND_SHIFT !== File.FRAME_KIND) return [];
  const ingress = names[log.readUInt32LE(at + 4)];
  const sequence = log.readDoubleLE(at + 8);
  if (ingress === undefined || !Number.isSafeInteger(sequence) || sequence < 0) return [];
  const named = entries.filter(({ check }) => check === sequence >>> 0).map(({ name }) => names[name]!);
  if (named.length === 0) return [];
  const start = at + File.FRAME_HEAD_BYTES;
  const stored = Buffer.from(log.subarray(start, start + (first & File.LOW_MASK)));
  return [
    {
      sequence,
      timeNs: log.readBigUInt64LE(at + 16),
      ingress,
      destinations: [...new Set(named)],
      vnet: stored.subarray(0, VNET_HEADER_BYTES),
      bytes: stored.subarray(VNET_HEADER_BYTES),
    },
  ];
}

/** {@link recoverHeld} of a file read by `read`. */
export async function recoverFrom(read: ReadAt): Promise<InflightFrame[]> {
  const head = await readHead(read);
  if (head === undefined) return [];
  const segments = await readSegments(read);
  const queues: (Map<number, Owed> | undefined)[] = [];
  for (const { segment, bytes } of segments) {
    takeEntries(await read(File.segmentAt(segment), bytes), head, queues);
  }
  const byPlace = new Map<number, Owed[]>();
  for (const queue of queues) {
    for (const owed of queue?.values() ?? []) {
      const known = byPlace.get(owed.place);
      if (known === undefined) byPlace.set(owed.place, [owed]);
      else known.push(owed);
    }
  }
  const places = [...byPlace.keys()].sort((a, b) => a - b);
  const usable = new Map(segments.map(({ segment, bytes }) => [segment, bytes]));
  const frames: { place: number; frame: InflightFrame }[] = [];
  let present = -1;
  let log: Buffer = Buffer.alloc(0);
  for (const place of places) {
    const segment = File.segmentOf(place);
    const bytes = usable.get(segment);
    if (bytes === undefined) continue;
    if (segment !== present) {
      present = segment;
      log = await read(File.segmentAt(segment), bytes);
    }
    const at = place - File.segmentAt(segment);
    for (const frame of takeFrame(log, at, byPlace.get(place)!, head.names)) frames.push({ place, frame });
  }
  frames.sort((a, b) => a.frame.sequence - b.frame.sequence || a.place - b.place);
  let last = -1;
  return frames.map(({ frame }) => {
    last = Math.max(frame.sequence, last + 1); // unique, as an image wants them; only damage makes two alike
    return last === frame.sequence ? frame : { ...frame, sequence: last };
  });
}

async function openOrNone(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * What the hold file of a dead daemon still owed: every frame that waited in a port's queue during a hold or its release,
 * in order of arrival, with the ports it has still to be delivered to. That order is the order of each port's queue. Of
 * a file that is not there, or damaged beyond use, nothing. It does not change the file, which counts until a
 * network opened with it has restored the frames.
 * @throws the system's error when the file cannot be read
 */
export async function recoverHeld(path: string): Promise<InflightFrame[]> {
  const file = await openOrNone(path);
  if (file === undefined) return [];
  const buffer = Buffer.allocUnsafe(File.SEGMENT_BYTES);
  try {
    return await recoverFrom(async (at, bytes) => {
      const { bytesRead } = await file.read(buffer, 0, bytes, at);
      return buffer.subarray(0, bytesRead);
    });
  } finally {
    await file.close();
  }
}
