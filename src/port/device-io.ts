/**
 * How a TAP's descriptor is read and written, one frame per call of the kernel's. It is a part of its own because there
 * are two ways to make these calls: one by one, here, and many at a time (ring-io.ts).
 */
import { MAX_FRAME_BYTES } from '../frame/types.js';
import { MessageVector, noteSent } from '../sys/index.js';
import { BURST, FRAME_OFFSET, type FrameList, type FrameMemory } from './batch.js';

export interface DeviceIo {
  /**
   * Fills `list` with frames that wait, until BURST of them or none is left; how many. -errno when the descriptor
   * refused to be read, which ends the list too.
   */
  receive(list: FrameList): number;
  /** As {@link Port.send}. */
  send(list: FrameList, from: number): number;
  /** Lets go of the descriptor, which is not closed. */
  close(): void;
}

export class PlainIo implements DeviceIo {
  readonly #fd: number;
  readonly #memory: FrameMemory;
  readonly #incoming = new MessageVector(BURST);
  readonly #outgoing = new MessageVector(1);

  constructor(fd: number, memory: FrameMemory) {
    this.#fd = fd;
    this.#memory = memory;
    for (let i = 0; i < BURST; i++) {
      const slot = memory.arena.address + memory.receiveSlot(i);
      this.#incoming.set(i, slot, slot + FRAME_OFFSET, MAX_FRAME_BYTES);
    }
  }

  receive(list: FrameList): number {
    list.count = 0;
    while (list.count < BURST) {
      const length = this.#incoming.read(this.#fd, list.count);
      if (length < 0) return length;
      if (length === 0) break;
      const slot = this.#memory.receiveSlot(list.count);
      list.add(slot, slot + FRAME_OFFSET, length);
    }
    return list.count;
  }

  send(list: FrameList, from: number): number {
    const base = this.#memory.arena.address;
    for (let i = from; i < list.count; i++) {
      this.#outgoing.set(0, base + list.slot[i]!, base + list.start[i]!, list.length[i]!);
      const result = this.#outgoing.write(this.#fd, 0);
      if (result <= 0) return i > from ? i - from : result;
      noteSent(i);
    }
    return list.count - from;
  }

  close(): void {
    // The descriptor is the port's.
  }
}
