/**
 * Where frames lie while they pass through: one arena of equal slots, half for a burst just received, half for a
 * burst taken from a queue. A slot is named by its offset; the frame may begin a little before its usual place, so
 * that an 802.1Q tag can be put back in front of it.
 *
 *   slot:  0..9 virtio-net header · 16..31 headroom · 32.. frame
 *
 * The headroom is nobody's: a tag is put there, or a copy of the header, for who takes both in one piece.
 */
import { MAX_FRAME_BYTES, VNET_HEADER_BYTES } from '../frame/types.js';
import { mapArena, type Arena } from '../sys/index.js';

/** Frames in one burst: the turn of one port before the next is served. */
export const BURST = 64;
export const SLOT_BYTES = 32 + MAX_FRAME_BYTES + 32;
export const FRAME_OFFSET = 32;

/** The arena shared by all ports of one switch thread. */
export class FrameMemory {
  readonly arena: Arena = mapArena(2 * BURST * SLOT_BYTES);
  readonly bytes: Buffer = this.arena.bytes;
  /** The same memory in 32-bit words: every slot, and a frame in it, begins on one. */
  readonly words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset);
  readonly #halves = new Uint16Array(this.bytes.buffer, this.bytes.byteOffset);

  receiveSlot(i: number): number {
    return i * SLOT_BYTES;
  }

  /** The inverse of {@link receiveSlot}. */
  receiveIndex(slot: number): number {
    return slot / SLOT_BYTES;
  }

  stagingSlot(i: number): number {
    return (BURST + i) * SLOT_BYTES;
  }

  /** Copies a virtio-net header that lies at `from`, in 16-bit words, to where a slot has it. */
  putHeader(slot: number, source: Uint16Array, from: number): void {
    const halves = this.#halves;
    for (let i = 0; i < VNET_HEADER_BYTES / 2; i++) halves[(slot >> 1) + i] = source[from + i]!;
  }

  /** Copies a slot's virtio-net header to right before the frame at `start`, where a device wants it; its offset. */
  joinHeader(slot: number, start: number): number {
    const halves = this.#halves;
    const to = start - VNET_HEADER_BYTES;
    for (let i = 0; i < VNET_HEADER_BYTES / 2; i++) halves[(to >> 1) + i] = halves[(slot >> 1) + i]!;
    return to;
  }

  /** The inverse of {@link joinHeader}. */
  partHeader(slot: number, start: number): void {
    this.putHeader(slot, this.#halves, (start - VNET_HEADER_BYTES) >> 1);
  }

  /** Puts a stored frame (header, then frame) into a staging slot; the offset of the slot. */
  stage(i: number, stored: Uint8Array): number {
    const slot = this.stagingSlot(i);
    const before = slot + FRAME_OFFSET - VNET_HEADER_BYTES; // in one piece, without a view of each part
    this.bytes.set(stored, before);
    this.bytes.copyWithin(slot, before, slot + FRAME_OFFSET);
    return slot;
  }
}

/** A list of frames in {@link FrameMemory}: what was received, or what is to be sent on one port. */
export class FrameList {
  count = 0;
  /** Offset of each slot, where its virtio-net header lies. */
  readonly slot = new Int32Array(BURST);
  /** Offset of each frame's first byte. */
  readonly start = new Int32Array(BURST);
  readonly length = new Int32Array(BURST);
  /** Of a burst received: as many as were asked for, so that more may wait. */
  full = false;
  /**
   * For a port that sends all frames at once and is asked about each: what became of them, those before `answered`.
   * Adding a frame makes the list another.
   */
  readonly results = new Int32Array(BURST);
  answered = 0;

  add(slot: number, start: number, length: number): void {
    this.slot[this.count] = slot;
    this.start[this.count] = start;
    this.length[this.count] = length;
    this.count++;
    this.answered = 0;
  }
}
