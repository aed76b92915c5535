/**
 * How a TAP's descriptor is read and written: a frame in one piece, its virtio-net header right before it. It is a part
 * of its own because there are two ways to do it: one frame per call, here, and many at a time (ring-io.ts).
 */
import { MAX_FRAME_BYTES, VNET_HEADER_BYTES } from '../frame/types.js';
import { EINVAL, noteSent, readTap, writeTap } from '../sys/index.js';
import { BURST, FRAME_OFFSET, type FrameList, type FrameMemory } from './batch.js';

/** The longest piece. */
export const READ_BYTES = VNET_HEADER_BYTES + MAX_FRAME_BYTES;

export interface DeviceIo {
  /** Frames worth asking for now, 1..BURST. */
  readonly likely: number;
  /**
   * Fills `list` with frames that wait, until `most` of them or none is left; how many. -errno when the descriptor
   * refused to be read, which ends the list too. One that the kernel throws away as it is read is a frame of no bytes
   * (EINVAL; see PacketReceiver).
   */
  receive(list: FrameList, most: number): number;
  /** As {@link Port.send}. */
  send(list: FrameList, from: number): number;
  /** Lets go of the descriptor, which is not closed. */
  close(): void;
}

export class PlainIo implements DeviceIo {
  readonly likely = BURST;
  readonly #fd: number;
  readonly #memory: FrameMemory;
  readonly #address: number;

  constructor(fd: number, memory: FrameMemory) {
    this.#fd = fd;
    this.#memory = memory;
    this.#address = memory.arena.address;
  }

  receive(list: FrameList, most: number): number {
    list.count = 0;
    while (list.count < most) {
      const slot = this.#memory.receiveSlot(list.count);
      const start = slot + FRAME_OFFSET;
      const bytes = readTap(this.#fd, this.#address + start - VNET_HEADER_BYTES, READ_BYTES);
      if (bytes < 0 && bytes !== -EINVAL) return bytes;
      if (bytes === 0) break;
      this.#memory.partHeader(slot, start);
      list.add(slot, start, Math.max(0, bytes - VNET_HEADER_BYTES));
    }
    return list.count;
  }

  send(list: FrameList, from: number): number {
    for (let i = from; i < list.count; i++) {
      const header = this.#memory.joinHeader(list.slot[i]!, list.start[i]!);
      const result = writeTap(this.#fd, this.#address + header, VNET_HEADER_BYTES + list.length[i]!);
      if (result <= 0) return i > from ? i - from : result;
      noteSent(i);
    }
    return list.count - from;
  }

  close(): void {
    // The descriptor is the port's.
  }
}
