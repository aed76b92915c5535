/**
 * The segments of a hold file: a log that is written at its end and given up in pieces, in whatever order they come free.
 *
 * Who needs a segment counts on it: each queue a frame of it lies in, each run of entries not yet delivered, each
 * pinned mark. One that nobody counts on is written anew from its beginning, under the next sequence. What recovery
 * may still find in it until then is delivered, and the heads say so.
 *
 * A segment comes free at {@link Segments.collect} only, between two bursts: a frame of the present one may be in no
 * queue yet.
 */
import type { MappedFile } from '../sys/index.js';
import { MAX_SEGMENTS, SEGMENT_BYTES, SEGMENT_HEADER_BYTES, segmentAt, segmentOf } from './layout.js';

/** Free segments that keep their room for the next hold. */
const SPARE = 1;
/** The run directory's file system is others' too (`/run`): this share of it stays free. */
const LEFT_FREE = 1 / 8;

export class Segments {
  readonly #file: MappedFile;
  readonly #words: Int32Array;
  readonly #users = new Uint32Array(MAX_SEGMENTS);
  /** Whether a segment is in #free. */
  readonly #isFree = new Uint8Array(MAX_SEGMENTS);
  readonly #free: number[] = [];
  /** Without users some time since the last collection. */
  #left: number[] = [];
  /** Given back to the file system. */
  readonly #holes: number[] = [];
  #reached = 0;
  #sequence = 0;
  #current = -1;
  #used = SEGMENT_BYTES;
  #canPunch = true;

  constructor(file: MappedFile, words: Int32Array) {
    this.#file = file;
    this.#words = words;
    if (this.#reserve(0)) this.#setFree(this.#reached++);
  }

  /** Where `bytes` (a multiple of 8) may be written next; 0 when there is no room for them. */
  allot(bytes: number): number {
    if (this.#used + bytes > SEGMENT_BYTES && !this.#next()) return 0;
    const place = segmentAt(this.#current) + this.#used;
    this.#used += bytes;
    return place;
  }

  /** What has been written so far holds. */
  commit(): void {
    Atomics.store(this.#words, segmentAt(this.#current) / 4 + 1, this.#used);
  }

  /** Goes on to a fresh segment. */
  #next(): boolean {
    const next = this.#free.pop() ?? this.#more();
    if (next === undefined) return false;
    this.#isFree[next] = 0;
    if (this.#current >= 0) {
      this.commit();
      this.release(this.#current);
    }
    const header = segmentAt(next) / 4;
    Atomics.store(this.#words, header + 1, 0);
    Atomics.store(this.#words, header, ++this.#sequence);
    this.#current = next;
    this.#used = SEGMENT_HEADER_BYTES;
    this.use(next);
    this.commit();
    return true;
  }

  #more(): number | undefined {
    const segment = this.#holes.at(-1) ?? this.#reached;
    if (segment >= MAX_SEGMENTS || !this.#reserve(segment)) return undefined;
    if (segment === this.#reached) this.#reached++;
    else this.#holes.pop();
    return segment;
  }

  #reserve(segment: number): boolean {
    const { total, free } = this.#file.space();
    if (free - SEGMENT_BYTES < total * LEFT_FREE) return false;
    return this.#file.reserve(segmentAt(segment), SEGMENT_BYTES);
  }

  #setFree(segment: number): void {
    this.#isFree[segment] = 1;
    this.#free.push(segment);
  }

  /** The segment that is written now. */
  get current(): number {
    return this.#current;
  }

  use(segment: number): void {
    this.#users[segment]!++;
  }

  release(segment: number): void {
    if (--this.#users[segment]! === 0) this.#left.push(segment);
  }

  usePlace(place: number): void {
    this.use(segmentOf(place));
  }

  releasePlace(place: number): void {
    this.release(segmentOf(place));
  }

  /**
   * Takes back what nobody counts on any more, and gives one spare segment to the file system.
   * @returns whether there are more to give
   */
  collect(): boolean {
    if (this.#left.length > 0) {
      for (const segment of this.#left) {
        if (this.#users[segment] === 0 && this.#isFree[segment] === 0) this.#setFree(segment);
      }
      this.#left = [];
    }
    if (this.#free.length <= SPARE || !this.#canPunch) return false;
    const segment = this.#free.pop()!;
    this.#canPunch = this.#file.punch(segmentAt(segment), SEGMENT_BYTES);
    if (!this.#canPunch) this.#free.push(segment);
    else {
      this.#isFree[segment] = 0;
      this.#holes.push(segment);
    }
    return this.#canPunch && this.#free.length > SPARE;
  }
}
