/**
 * A TAP's descriptor read and written a burst at a time, through io_uring.
 *
 * Nothing is read before it is asked for and nothing is still being written after send() has returned (sys/uring.ts), so
 * whatever a Port promises holds as with plain calls. Two things differ:
 *
 * - a burst goes out as one: when the kernel refuses a frame, those behind it have been sent already. Their results stay
 *   with the list, and the caller, who asks again from the frame behind, is answered from there. It can never be that a
 *   frame is to be tried later while those behind it are gone: with no bound on its send buffer a TAP always takes or
 *   refuses (drivers/net/tun.c, tun_get_user), and one with a bound is left to plain calls;
 * - while sends are noted for whoever comes after a crash, frames go one by one: a kill in the midst of a burst of
 *   which nothing is noted yet would double all of it.
 */
import { VNET_HEADER_BYTES } from '../frame/types.js';
import { areNoted, copyMemory, EAGAIN, EINVAL, hasFiniteSendBuffer, type Ring } from '../sys/index.js';
import { BURST, FRAME_OFFSET, type FrameList, type FrameMemory } from './batch.js';
import { PlainIo, READ_BYTES, type DeviceIo } from './device-io.js';

/** Of a read: one that was thrown away is a frame too. */
const wasFrame = (result: number): boolean => result > 0 || result === -EINVAL;

/** Where frames come singly, looking for a second one costs a batch: this seldom. */
const SINGLES_A_LOOK = 8;

export class RingIo implements DeviceIo {
  readonly #ring: Ring;
  readonly #file: number;
  readonly #memory: FrameMemory;
  readonly #address: number;
  readonly #plain: PlainIo;
  /** What is asked for costs something even when it is not there: about as many as there were lately. */
  likely = 1;
  /** Frames that came one by one since a second one was asked for. */
  #singles = 0;

  private constructor(ring: Ring, file: number, fd: number, memory: FrameMemory) {
    this.#ring = ring;
    this.#file = file;
    this.#memory = memory;
    this.#address = memory.arena.address;
    this.#plain = new PlainIo(fd, memory);
  }

  /** For a descriptor that can be served through `ring`; undefined for any other. */
  static for(ring: Ring, fd: number, memory: FrameMemory): RingIo | undefined {
    if (hasFiniteSendBuffer(fd)) return undefined;
    const file = ring.addFile(fd);
    ring.pin(memory.arena);
    ring.write(file, memory.arena.address, 0); // too short to be sent
    ring.run();
    if (ring.results[0] === -EINVAL) return new RingIo(ring, file, fd, memory);
    ring.removeFile(file); // its driver cannot be asked not to wait (FMODE_NOWAIT: tun has it since 6.4)
    return undefined;
  }

  receive(list: FrameList, most: number): number {
    if (most === 1) {
      const came = this.#plain.receive(list, 1); // one call as well, and a cheaper one
      this.#guess(came, 1);
      return came;
    }
    list.count = 0;
    let last: number;
    do last = this.#read(list, most - list.count);
    while (wasFrame(last) && list.count < most);
    this.#guess(list.count, most);
    return last < 0 && last !== -EAGAIN ? last : list.count;
  }

  /** As many as came and a few more, so that the end is seen without asking again; where they come singly, one. */
  #guess(came: number, asked: number): void {
    if (came === 1 && asked === 1 && ++this.#singles < SINGLES_A_LOOK) return;
    this.#singles = 0;
    const half = (this.likely + came) >> 1;
    const next = came === asked ? 2 * asked : Math.max(half, came > 1 ? came + 1 + (came >> 2) : 1);
    this.likely = Math.min(BURST, next);
  }

  /** Reads up to `count` frames more. What the last of these reads said: if it found nothing, the ring was empty then. */
  #read(list: FrameList, count: number): number {
    const { results } = this.#ring;
    const first = list.count;
    for (let i = 0; i < count; i++) {
      const frame = this.#memory.receiveSlot(first + i) + FRAME_OFFSET;
      this.#ring.read(this.#file, this.#address + frame - VNET_HEADER_BYTES, READ_BYTES);
    }
    this.#ring.run();
    for (let i = 0; i < count; i++) {
      if (wasFrame(results[i]!)) {
        this.#accept(list, first + i, Math.max(0, results[i]! - VNET_HEADER_BYTES));
      }
    }
    return results[count - 1]!;
  }

  /** A frame may come while the batch goes on, behind a read that found nothing: frames lie side by side all the same. */
  #accept(list: FrameList, place: number, length: number): void {
    const slot = this.#memory.receiveSlot(list.count);
    const start = slot + FRAME_OFFSET;
    if (place !== list.count) {
      const from = this.#memory.receiveSlot(place) + FRAME_OFFSET;
      const header = VNET_HEADER_BYTES;
      copyMemory(this.#address + start - header, this.#address + from - header, header + length);
    }
    this.#memory.partHeader(slot, start);
    list.add(slot, start, length);
  }

  send(list: FrameList, from: number): number {
    if (list.answered <= from) {
      if (areNoted() || list.count - from === 1) return this.#plain.send(list, from);
      this.#write(list, from);
    }
    const { results } = list;
    let i = from;
    while (i < list.answered && results[i]! > 0) i++;
    return i > from ? i - from : results[from]!;
  }

  #write(list: FrameList, from: number): void {
    for (let i = from; i < list.count; i++) {
      const header = this.#memory.joinHeader(list.slot[i]!, list.start[i]!);
      this.#ring.write(this.#file, this.#address + header, VNET_HEADER_BYTES + list.length[i]!);
    }
    this.#ring.run();
    for (let i = from; i < list.count; i++) list.results[i] = this.#ring.results[i - from]!;
    list.answered = list.count;
  }

  close(): void {
    this.#ring.removeFile(this.#file);
  }
}
