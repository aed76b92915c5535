/**
 * Copies of what was sent and may still be unread, so that the one frame a hypervisor has taken out of the ring and not
 * delivered is known when it comes to that.
 *
 * What is needed, and no more: the frames sent since the ring was last seen empty, and the one before them. Whatever is
 * older has been read and has been followed by a frame that was read too, so it is in the guest.
 *
 * Two halves, used in turn: whenever the ring is seen empty the next frame goes to the beginning of the other half, and
 * the one before stays where it is. So nothing is moved, a healthy guest's shadow stays in a few pages, and pages that
 * were never needed are never there. The memory is mapped once; nothing is allocated as frames pass.
 *
 * Whoever sends keeps to the bounds given. Beyond them a push begins anew: the frames before it are not known then.
 */
import { MAX_FRAME_BYTES, VNET_HEADER_BYTES } from '../frame/types.js';
import { copyMemory, emptyArena, mapArena, type Arena } from '../sys/memory.js';

/** Up to here a loop over words is quicker than calling out. */
const SHORT_BYTES = 128;
/** The header, in whole words. */
const HEADER_BYTES = 12;

const whole = (bytes: number): number => (bytes + 3) & ~3;

export class Shadow {
  readonly #entries: number;
  readonly #halfBytes: number;
  readonly #arena: Arena;
  readonly #words: Int32Array;
  readonly #offsets: Int32Array;
  readonly #lengths: Int32Array;
  /** Where the present half begins: in bytes, and in entries. */
  #base = 0;
  #first = 0;
  #count = 0;
  #end = 0;
  /** Place of the one before, or -1. */
  #before = -1;

  /** @param entries frames since the ring was last seen empty, at most; @param bytes of all of them together */
  constructor(entries: number, bytes: number) {
    this.#entries = entries;
    this.#halfBytes = whole(bytes + entries * (HEADER_BYTES + 4) + MAX_FRAME_BYTES);
    this.#arena = mapArena(2 * this.#halfBytes);
    this.#words = new Int32Array(this.#arena.bytes.buffer, this.#arena.bytes.byteOffset);
    this.#offsets = new Int32Array(2 * entries);
    this.#lengths = new Int32Array(2 * entries);
  }

  /** Frames known: those since the ring was last seen empty, and the one before. */
  get length(): number {
    return this.#count + (this.#before < 0 ? 0 : 1);
  }

  /** Adds a frame that was sent: its header at `slot` and its bytes at `start` of `source`, both on a word. */
  push(source: ShadowSource, slot: number, start: number, length: number): void {
    const bytes = HEADER_BYTES + whole(length);
    if (this.#count === this.#entries || this.#end - this.#base + bytes > this.#halfBytes) this.clear();
    const at = this.#first + this.#count++;
    const to = this.#end;
    this.#offsets[at] = to;
    this.#lengths[at] = length;
    this.#copyWords(source.words, slot, to, HEADER_BYTES);
    if (length <= SHORT_BYTES) this.#copyWords(source.words, start, to + HEADER_BYTES, length);
    else copyMemory(this.#arena.address + to + HEADER_BYTES, source.arena.address + start, length);
    this.#end = to + bytes;
  }

  #copyWords(from: Int32Array, start: number, to: number, bytes: number): void {
    const words = this.#words;
    const end = (start + bytes + 3) >> 2;
    for (let i = start >> 2, j = to >> 2; i < end; i++, j++) words[j] = from[i]!;
  }

  /** The ring was seen empty: all of them were read, and only the last can still be with the reader. */
  restart(): void {
    if (this.#count === 0) return;
    this.#before = this.#first + this.#count - 1;
    this.#turn();
  }

  #turn(): void {
    this.#first = this.#first === 0 ? this.#entries : 0;
    this.#base = this.#end = this.#first === 0 ? 0 : this.#halfBytes;
    this.#count = 0;
  }

  /** Forgets everything. */
  clear(): void {
    this.#before = -1;
    this.#turn();
  }

  /** Begins anew behind `stored`, if given: the one the reader has. */
  startBehind(stored: Uint8Array | undefined): void {
    this.clear();
    if (stored === undefined) return;
    const length = stored.length - VNET_HEADER_BYTES;
    const to = this.#end;
    this.#offsets[this.#first] = to;
    this.#lengths[this.#first] = length;
    this.#arena.bytes.set(stored.subarray(0, VNET_HEADER_BYTES), to);
    this.#arena.bytes.set(stored.subarray(VNET_HEADER_BYTES), to + HEADER_BYTES);
    this.#count = 1;
    this.restart();
  }

  /** Frame `i`, the oldest first, as it is stored: header, then bytes. A copy. */
  at(i: number): Buffer {
    const place = this.#before < 0 ? this.#first + i : i === 0 ? this.#before : this.#first + i - 1;
    const offset = this.#offsets[place]!;
    const frame = offset + HEADER_BYTES;
    const { bytes } = this.#arena;
    return Buffer.concat([
      bytes.subarray(offset, offset + VNET_HEADER_BYTES),
      bytes.subarray(frame, frame + this.#lengths[place]!),
    ]);
  }

  /** Gives its memory back. */
  close(): void {
    this.clear();
    emptyArena(this.#arena);
  }
}

/** Where frames are copied from. */
export interface ShadowSource {
  readonly arena: Arena;
  /** The same memory in words. */
  readonly words: Int32Array;
}
