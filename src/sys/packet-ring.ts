/**
 * The receiving side of a packet socket as memory shared with the kernel (TPACKET_V2, packet_mmap.rst): the kernel
 * copies each frame into a slot as it arrives, on its sender's processor, and no call is needed to take it. A frame longer
 * than a slot waits in the socket as ever, and the slot says when it is its turn (net/packet/af_packet.c, tpacket_rcv).
 *
 *   slot:  struct tpacket2_hdr · … · virtio-net header · frame (at tp_mac)
 *
 * Slots are read in order and given back in order; poll(2) says whether one is ours. A ring that is full loses frames, which
 * the socket counts.
 *
 * What can go wrong: a frame whose offloads no virtio-net header can tell (UDP fragmentation; segmented UDP before Linux
 * 6.2; SCTP) is dropped after its slot was marked as being filled, and the mark stays (tpacket_rcv, rx_owner_map). Then every
 * frame is dropped, for ever, and poll says nothing. It shows in the count of drops, while our slot is empty; the way out is
 * to {@link giveUp} the ring.
 */
import { check, native } from './libc.js';
import { mapOf, unmap, type Mapping } from './memory.js';
import * as Abi from './packet-abi.js';
import { strippedTag } from './stripped-tag.js';

/** A frame of 1,500 bytes with its headers. Pairs of cache lines come together; an odd number of them falls on all alike. */
const SLOT_BYTES = 15 * 128;
const BLOCK_BYTES = 64 * 1024;
const SLOTS_IN_BLOCK = Math.floor(BLOCK_BYTES / SLOT_BYTES);
/** 8 MiB, 4,352 frames: ten milliseconds of a flood in which nobody receives. */
const BLOCKS = 128;

/** struct tpacket2_hdr, in 32-bit words. */
const LENGTH = 1;
const STORED = 2;
const PLACES = 3;
const VLAN = 6;

const cSetsockopt = native<[number, number, number, Uint8Array, number]>(
  'int setsockopt(int fd, int level, int name, const void *value, unsigned int length)',
);

function setOption(fd: number, name: number, what: string, ...values: number[]): void {
  const value = Buffer.from(Int32Array.from(values).buffer);
  check(cSetsockopt(fd, Abi.SOL_PACKET, name, value, value.length), 'setsockopt', what);
}

/** Of a frame in a ring: it is longer than its slot, and waits in the socket. */
export const isInSocket = (status: number): boolean => (status & Abi.TP_STATUS_COPY) !== 0;

export class PacketRing {
  readonly #fd: number;
  readonly #mapping: Mapping;
  readonly #address: number;
  /** The ring in 32-bit and 16-bit words. */
  readonly words: Int32Array;
  readonly halves: Uint16Array;
  readonly #fence = new Int32Array(1);
  /** The next slot, in bytes from the ring's beginning. */
  #at = 0;
  /** The first that is to be given back, and how many are. */
  #released = 0;
  #unreleased = 0;

  /**
   * @param fd a packet socket with PACKET_VNET_HDR that is not bound yet
   * @throws StillwireError SYSCALL: the kernel has no such ring, or no memory for one
   */
  constructor(fd: number) {
    this.#fd = fd;
    setOption(fd, Abi.PACKET_VERSION, 'PACKET_VERSION', Abi.TPACKET_V2);
    setOption(fd, Abi.PACKET_COPY_THRESH, 'PACKET_COPY_THRESH', 1); // any: what is too long for its slot waits in the socket
    // struct tpacket_req: bytes and number of blocks, bytes and number of slots
    const shape = [BLOCK_BYTES, BLOCKS, SLOT_BYTES, BLOCKS * SLOTS_IN_BLOCK];
    setOption(fd, Abi.PACKET_RX_RING, 'PACKET_RX_RING', ...shape);
    this.#mapping = mapOf(fd, BLOCKS * BLOCK_BYTES, 0);
    this.#address = this.#mapping.address;
    this.words = new Int32Array(this.#mapping.memory);
    this.halves = new Uint16Array(this.#mapping.memory);
  }

  /** Status of the next slot: 0 while no frame waits there, and then nothing else of the slot means anything. */
  get status(): number {
    return Atomics.load(this.words, this.#at >> 2);
  }

  /** Whether the frame of the next slot was too long for it, and, if it does not wait in the socket, is lost. */
  get isCut(): boolean {
    const word = this.#at >> 2;
    return this.words[word + LENGTH]! > this.words[word + STORED]!;
  }

  /** Where the frame begins, in bytes from the ring's beginning; its virtio-net header lies right before it. */
  get start(): number {
    return this.#at + (this.words[(this.#at >> 2) + PLACES]! & 0xffff);
  }

  /** Bytes of the frame, without the header. */
  get length(): number {
    return this.words[(this.#at >> 2) + STORED]!;
  }

  /** The 802.1Q tag the kernel took out; see {@link strippedTag}. */
  tagBeside(status: number): number {
    return strippedTag(status, this.words[(this.#at >> 2) + VLAN]!);
  }

  /** The address of a place in the ring. */
  addressOf(at: number): number {
    return this.#address + at;
  }

  /** Goes on to the slot behind the next one. */
  skip(): void {
    this.#unreleased++;
    this.#at = this.#behind(this.#at);
  }

  #behind(at: number): number {
    const slot = (at % BLOCK_BYTES) + SLOT_BYTES;
    if (slot <= BLOCK_BYTES - SLOT_BYTES) return at + SLOT_BYTES;
    const block = at - (at % BLOCK_BYTES) + BLOCK_BYTES;
    return block === BLOCKS * BLOCK_BYTES ? 0 : block;
  }

  /**
   * Gives the slots that were skipped back. All at once: an ordered store waits for its cache line, and would make the
   * frames of a burst come from the other processor one after the other.
   */
  release(): void {
    if (this.#unreleased === 0) return;
    Atomics.exchange(this.#fence, 0, 0); // what was read has been read
    for (; this.#unreleased > 0; this.#unreleased--) {
      this.words[this.#released >> 2] = Abi.TP_STATUS_KERNEL;
      this.#released = this.#behind(this.#released);
    }
  }

  /** Takes the ring away from the socket, which goes on without. Nothing may be used any more. */
  giveUp(): void {
    this.close(); // else the kernel finds it busy
    setOption(this.#fd, Abi.PACKET_RX_RING, 'PACKET_RX_RING', 0, 0, 0, 0);
  }

  /** Nothing may be used any more. The socket keeps its ring until it is closed. */
  close(): void {
    unmap(this.#mapping);
  }
}
