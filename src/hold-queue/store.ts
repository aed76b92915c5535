/**
 * What a hold keeps, in a file that outlives the daemon: after a `kill -9` the next one delivers it, each frame once, in
 * order per destination.
 *
 * Order of events. `hold` begins the logging; frames that wait already are moved in at the first chance (the
 * acknowledgement does not wait for it). From then on every frame kept is written once, into the mapped file, and lies
 * in the queues as a view of it; every place in a queue is an entry of the log. Delivery moves the port's head, one
 * store after each burst. When no port is paced any more, the logging ends, and a switch that is not held does nothing here.
 *
 * Invariant: at any instruction the file tells a true state (recover.ts reads it). What is written counts only
 * behind the commit word of its segment, which is stored last; a frame is written before its entries; heads, the count of
 * names and the burst are one word each. Only the process dies, the page cache stays, so nothing is synced.
 *
 * A burst is sent by one system call after another and its port's head moves after the last: a kill between would leave
 * up to 64 frames in doubt. So the burst is announced in the file, and the kernel itself notes there, message by message,
 * what it has sent (sys/send-notes.ts). What has a note is delivered, what has none is not: exact for everything
 * sent by sendmmsg. A device port writes frame by frame and notes each after the write: a kill between the two doubles
 * that one frame. At least once, then, because a lost frame costs a guest more than a doubled one.
 *
 * What cannot be kept: frames in the burst just received and in the sockets of the dead daemon; they were not ours yet.
 *
 * Room. The file grows by segments, each reserved before it is touched, to 1 GiB at most and never into the last eighth
 * of its file system. With no more room, frames are kept in heap memory as without a file, nothing is lost, and it is told
 * once per hold that it would not survive the daemon. From then on nothing is logged until the next hold, which
 * tries again: so what is logged is always what goes first, and the order stays true.
 *
 * A file of a dead daemon at the same path stays the one that counts until this one has taken over what was in it
 * ({@link HoldStore.settle}): it is written beside it and renamed, so a daemon that dies while it takes over loses
 * nothing and doubles nothing.
 */
import { renameSync, rmSync } from 'node:fs';
import type { PortId } from '../frame/types.js';
import { clearNotes, MappedFile, noteSendsIn, type NotesPage } from '../sys/index.js';
import * as File from './layout.js';
import { PortLog } from './log.js';
import { Segments } from './segments.js';
import type { HeldFrame } from './queue.js';

/** While room is being given back: milliseconds between two pieces. */
const COLLECT_MS = 1;

export class HoldStore {
  readonly segments: Segments;
  readonly words: Int32Array;
  readonly #path: string;
  readonly #file: MappedFile;
  readonly #notes: NotesPage;
  readonly #doubles: Float64Array;
  readonly #longs: BigUint64Array;
  readonly #names = new Map<PortId, number>();
  #nameEnd = File.NAMES_AT;
  #logging = false;
  #full = false;
  #fault: string | undefined;
  #settled = false;

  /** @throws StillwireError SYSCALL, NO_PRIVILEGE when the file cannot be made */
  constructor(path: string) {
    this.#path = path;
    this.#file = new MappedFile(this.#fresh, File.MOST_BYTES);
    try {
      const { bytes } = this.#file;
      this.words = new Int32Array(bytes.buffer);
      this.#doubles = new Float64Array(bytes.buffer);
      this.#longs = new BigUint64Array(bytes.buffer);
      this.#notes = { arena: this.#file, offset: File.NOTES_AT };
      if (!this.#file.reserve(0, File.SEGMENTS_AT))
        throw new Error(`no room for ${path}, or its file system reserves none`);
      this.segments = new Segments(this.#file, this.words);
      File.MAGIC.copy(bytes, 0);
    } catch (error) {
      this.#file.close();
      rmSync(this.#fresh, { force: true });
      throw error;
    }
  }

  get #fresh(): string {
    return `${this.#path}.next`;
  }

  /** Makes this the file that a later daemon recovers. */
  settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    try {
      renameSync(this.#fresh, this.#path);
    } catch (error) {
      this.giveUp((error as Error).message); // its directory is gone
    }
  }

  /** Whether frames kept now, and their places in queues, are to be written. */
  get logging(): boolean {
    return this.#logging && !this.#full;
  }

  /** A hold begins. */
  begin(): void {
    this.#logging = true;
    this.#full = false;
  }

  /** All that was held has been delivered. */
  end(): void {
    this.#logging = false;
  }

  /** Nothing more is logged until the next hold. */
  giveUp(why: string): void {
    if (this.#full) return;
    this.#full = true;
    this.#fault = why;
  }

  /** Why the present hold does not survive the daemon; told once. */
  takeFault(): string | undefined {
    const fault = this.#fault;
    this.#fault = undefined;
    return fault;
  }

  /** The log of a port's queue. */
  log(id: PortId): PortLog {
    return new PortLog(this, id);
  }

  /** The number a port has in the file; -1 when there is no room for more names. */
  nameOf(id: PortId): number {
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    const number = this.#names.size;
    const bytes = Buffer.from(id);
    const end = this.#nameEnd + 1 + bytes.length;
    if (number >= File.MAX_NAMES || bytes.length > File.MAX_NAME_BYTES || end > File.SEGMENTS_AT) return -1;
    this.#file.bytes[this.#nameEnd] = bytes.length;
    bytes.copy(this.#file.bytes, this.#nameEnd + 1);
    this.#nameEnd = end;
    this.#names.set(id, number);
    Atomics.store(this.words, File.NAMES_WORD, number + 1);
    return number;
  }

  /**
   * Room in the file for a frame, to be filled at once: header, then frame. Undefined when nothing is logged, or from
   * now on cannot be.
   */
  keep(sequence: number, timeNs: bigint, ingress: PortId, bytes: number): Buffer | undefined {
    if (!this.logging) return undefined;
    const name = this.nameOf(ingress);
    const place = name < 0 ? 0 : this.segments.allot(File.aligned(File.FRAME_HEAD_BYTES + bytes));
    if (place === 0) {
      this.giveUp(name < 0 ? 'too many ports' : 'no room in the run directory');
      return undefined;
    }
    this.words[place / 4] = (File.FRAME_KIND << File.KIND_SHIFT) | bytes;
    this.words[place / 4 + 1] = name;
    this.#doubles[place / 8 + 1] = sequence;
    this.#longs[place / 8 + 2] = timeNs;
    const start = place + File.FRAME_HEAD_BYTES;
    return this.#file.bytes.subarray(start, start + bytes);
  }

  /** A frame in heap memory, moved into the file; the same one when it is there, or cannot be. */
  moved(frame: HeldFrame): HeldFrame {
    if (this.placeOf(frame) !== 0) return frame;
    const room = this.keep(frame.sequence, frame.timeNs, frame.ingress, frame.stored.length);
    if (room === undefined) return frame;
    room.set(frame.stored);
    return { ...frame, stored: room };
  }

  /** Where a frame lies in the file, 0 when it does not. */
  placeOf({ stored }: HeldFrame): number {
    return stored.buffer === this.words.buffer ? stored.byteOffset - File.FRAME_HEAD_BYTES : 0;
  }

  /** Frames of a mark: they stay readable until they are unpinned. */
  pin(frames: Iterable<HeldFrame>): void {
    for (const frame of frames) {
      const place = this.placeOf(frame);
      if (place !== 0) this.segments.usePlace(place);
    }
  }

  unpin(frames: Iterable<HeldFrame>): void {
    for (const frame of frames) {
      const place = this.placeOf(frame);
      if (place !== 0) this.segments.releasePlace(place);
    }
  }

  /** A burst of `count` frames of a port's queue is about to be sent. */
  beginBurst(name: number, position: number, count: number): void {
    clearNotes(this.#notes, count);
    this.words[File.BURST_NAME_WORD] = name;
    this.words[File.BURST_POSITION_WORD] = position;
    Atomics.store(this.words, File.BURST_COUNT_WORD, count);
    noteSendsIn(this.#notes);
  }

  /** The burst is over, and the port's head has been moved. */
  endBurst(): void {
    noteSendsIn(undefined);
    Atomics.store(this.words, File.BURST_COUNT_WORD, 0);
  }

  /** Gives back room. @returns milliseconds until this wants to be called again, undefined when nothing is to be done */
  collect(): number | undefined {
    return this.segments.collect() ? COLLECT_MS : undefined;
  }

  /** The orderly end: nothing is owed any more, and the file goes. One that was never settled leaves its forerunner. */
  close(): void {
    this.#file.close();
    rmSync(this.#settled ? this.#path : this.#fresh, { force: true });
  }

  /** The end of a switch that leaves everything as a crash would: what is owed stays owed. */
  leave(): void {
    this.#file.close();
  }
}
