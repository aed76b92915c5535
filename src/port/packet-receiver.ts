/**
 * Receiving on a packet socket: bursts into the arena, 802.1Q tags put back where the kernel took them out.
 *
 * A frame whose offloads no virtio-net header of ours can tell (UDP fragmentation, which a guest may still ask for;
 * tunnels) is thrown away by the kernel as it is received, with EINVAL (virtio_net_hdr_from_skb). It was counted on its
 * way here, so it is counted on: as a frame of no bytes, which the switch discards.
 */
import { MAX_FRAME_BYTES } from '../frame/types.js';
import { EINVAL, MessageVector } from '../sys/index.js';
import { BURST, FRAME_OFFSET, type FrameList, type FrameMemory } from './batch.js';

const TAG_BYTES = 4;
const VNET_NEEDS_CSUM = 1;

export class PacketReceiver {
  readonly memory: FrameMemory;
  readonly #vector = new MessageVector(BURST);

  constructor(memory: FrameMemory) {
    this.memory = memory;
    for (let i = 0; i < BURST; i++) {
      const slot = memory.arena.address + memory.receiveSlot(i);
      this.#vector.set(i, slot, slot + FRAME_OFFSET, MAX_FRAME_BYTES);
    }
    this.#vector.armControl(0, BURST);
  }

  /** Fills `list` with frames that wait, at most `most`; how many. */
  receive(fd: number, list: FrameList, most = BURST): number {
    list.count = 0;
    return this.append(fd, list, most);
  }

  /** Adds frames that wait to `list`, at most `most`; how many. */
  append(fd: number, list: FrameList, most: number): number {
    const from = list.count;
    const count = this.#vector.receive(fd, from, most);
    if (count === -EINVAL) {
      list.add(this.memory.receiveSlot(from), this.memory.receiveSlot(from) + FRAME_OFFSET, 0);
      this.#vector.armControl(from, 1);
      return 1;
    }
    for (let i = from; i < from + count; i++) {
      addFrame(this.memory, list, this.#vector.frameBytes(i), this.#vector.strippedTag(i));
    }
    if (count > 0) this.#vector.armControl(from, count);
    return Math.max(count, 0);
  }
}

/** Adds the frame that lies in the next receive slot; where the kernel took a tag out of it, the tag is put back. */
export function addFrame(memory: FrameMemory, list: FrameList, length: number, tag: number): void {
  const slot = memory.receiveSlot(list.count);
  const start = slot + FRAME_OFFSET;
  if (tag < 0) list.add(slot, start, length);
  else list.add(slot, insertTag(memory.bytes, slot, start, tag), length + TAG_BYTES);
}

/**
 * Puts an 802.1Q tag (TPID << 16 | TCI) behind the addresses of the frame at `start`, using the headroom before it.
 * The checksum the receiver has still to compute moves with the payload: csum_start and hdr_len grow by the tag.
 * @returns the frame's new start
 */
export function insertTag(bytes: Buffer, slot: number, start: number, tag: number): number {
  const moved = start - TAG_BYTES;
  bytes.copyWithin(moved, start, start + 12);
  bytes.writeUInt32BE(tag, moved + 12);
  moveOffsets(bytes, slot, TAG_BYTES);
  return moved;
}

/** Takes the tag out of the frame at `start` again; the inverse of {@link insertTag}. The frame's new start. */
export function removeTag(bytes: Buffer, slot: number, start: number): number {
  const moved = start + TAG_BYTES;
  bytes.copyWithin(moved, start, start + 12);
  moveOffsets(bytes, slot, -TAG_BYTES);
  return moved;
}

/** Modulo 65536: a header that came out of an image may say anything, and the kernel refuses what makes no sense. */
function moveOffsets(bytes: Buffer, slot: number, by: number): void {
  if ((bytes[slot]! & VNET_NEEDS_CSUM) !== 0) {
    bytes.writeUInt16LE((bytes.readUInt16LE(slot + 6) + by) & 0xffff, slot + 6);
  }
  const headerLength = bytes.readUInt16LE(slot + 2);
  if (headerLength !== 0) bytes.writeUInt16LE((headerLength + by) & 0xffff, slot + 2);
}
