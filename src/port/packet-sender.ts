/** Sending a burst on a packet socket: each frame in one piece with its virtio-net header, which costs the kernel less than two. */
import { VNET_HEADER_BYTES } from '../frame/types.js';
import { MessageVector } from '../sys/index.js';
import { BURST, type FrameList, type FrameMemory } from './batch.js';

/** Messages for a burst. */
export const frameVector = (): MessageVector => new MessageVector(BURST, VNET_HEADER_BYTES, 1);

/** Points messages `from` to `to` at the frames of these places in `list`. */
export function aimVector(
  vector: MessageVector,
  memory: FrameMemory,
  list: FrameList,
  from: number,
  to: number,
): void {
  for (let i = from; i < to; i++) {
    const header = memory.joinHeader(list.slot[i]!, list.start[i]!);
    vector.setWhole(i, memory.arena.address + header, VNET_HEADER_BYTES + list.length[i]!);
  }
}
