/**
 * Receiving from a packet socket's ring: frames are copied into the arena, since those that are longer than a slot of the ring
 * come from the socket straight into it, and the ring gets its slots back before the burst is sent.
 */
import { VNET_HEADER_BYTES } from '../frame/types.js';
import { clearSocketError, copyMemory, isInSocket, type PacketRing } from '../sys/index.js';
import { FRAME_OFFSET, type FrameList, type FrameMemory } from './batch.js';
import { addFrame, type PacketReceiver } from './packet-receiver.js';

/** Up to here a loop over words is quicker than a call of memcpy(3). */
const SHORT_BYTES = 256;

export class MappedReceiver {
  readonly #ring: PacketRing;
  readonly #fd: number;
  readonly #receiver: PacketReceiver;
  readonly #memory: FrameMemory;
  #lost = 0;
  /** Slots of the ring that were taken, and frames the socket had dropped, at the last {@link isStuck}. */
  #slots = 0;
  #slotsBefore = 0;
  #dropsBefore = 0;

  constructor(ring: PacketRing, fd: number, receiver: PacketReceiver) {
    this.#ring = ring;
    this.#fd = fd;
    this.#receiver = receiver;
    this.#memory = receiver.memory;
  }

  /** Fills `list` with frames that wait, at most `most`; how many. */
  receive(list: FrameList, most: number): number {
    const ring = this.#ring;
    list.count = 0;
    while (list.count < most) {
      const status = ring.status;
      if (status === 0) break;
      if (isInSocket(status)) this.#lost += 1 - this.#fromSocket(list);
      else if (ring.isCut) this.#lost++;
      else {
        this.#take(this.#memory.receiveSlot(list.count), ring.start, ring.length);
        addFrame(this.#memory, list, ring.length, ring.tagBeside(status));
      }
      ring.skip();
      this.#slots++;
    }
    ring.release();
    if (list.count === 0) clearSocketError(this.#fd); // that its device is gone may be all there was
    return list.count;
  }

  /** That its device went away is told in place of a frame, once: the frame is there still. */
  #fromSocket(list: FrameList): number {
    return this.#receiver.append(this.#fd, list, 1) || this.#receiver.append(this.#fd, list, 1);
  }

  /**
   * Whether the ring takes no frame any more ({@link PacketRing}): frames were dropped since the last call, though none was
   * taken out that could have made a full ring an empty one.
   * @param drops of the socket, in all
   */
  isStuck(drops: number): boolean {
    const stuck = drops > this.#dropsBefore && this.#slots === this.#slotsBefore && this.#ring.status === 0;
    this.#dropsBefore = drops;
    this.#slotsBefore = this.#slots;
    return stuck;
  }

  /** The socket has no ring any more: frames wait in it as they do without one. Nothing waits in the ring. */
  giveUp(): void {
    this.#ring.giveUp();
  }

  /** Copies a frame, and the virtio-net header before it, into a slot of the arena. */
  #take(slot: number, start: number, length: number): void {
    const { halves, words } = this.#ring;
    const to = slot + FRAME_OFFSET;
    if (length > SHORT_BYTES || (start & 3) !== 0) {
      const headed = VNET_HEADER_BYTES + length;
      const { address } = this.#memory.arena;
      copyMemory(address + to - VNET_HEADER_BYTES, this.#ring.addressOf(start - VNET_HEADER_BYTES), headed);
      this.#memory.partHeader(slot, to);
      return;
    }
    this.#memory.putHeader(slot, halves, (start - VNET_HEADER_BYTES) >> 1);
    const target = this.#memory.words;
    const from = start >> 2;
    const count = (length + 3) >> 2;
    for (let i = 0; i < count; i++) target[(to >> 2) + i] = words[from + i]!;
  }

  /** Frames that neither the ring nor the socket had room for, beside those the socket counts. */
  get lost(): number {
    return this.#lost;
  }

  close(): void {
    this.#ring.close();
  }
}
