/**
 * The receiving side of a packet socket as memory shared with the kernel (TPACKET_V2, packet_mmap.rst): the kernel
 * copies each frame into a slot as it arrives, on its sender's processor, and no call is needed to take it. A frame longer
 * than a slot waits in the socket as ever, and the slot says when it is its turn (net/packet/af_packet.c, tpacket_rcv).
 *
 *   slot:  struct tpacket2_hdr · … · virtio-net header · frame (at tp_mac)
 *
 * Slots are taken in order and given back in order; poll(2) says whether one is ours. A ring that is full loses frames, which
 * the socket counts. One difference to a socket without: a frame whose offloads no virtio-net header can tell is not
 * seen as refused, but is among those lost.
 */
import { check, native } from './libc.js';
import { mapOf, unmap, type Mapping } from './memory.js';
import * as Abi from './packet-abi.js';
import { strippedTag } from './stripped-tag.js';

/** A frame of 1,500 bytes with its headers; an odd number of cache lines, so that slots do not all fall on the same ones. */
const SLOT_BYTES = 31 * 64;
const BLOCK_BYTES = 64 * 1024;
const SLOTS_IN_BLOCK = Math.floor(BLOCK_BYTES / SLOT_BYTES);
/** 8 MiB, 4,224 frames: ten milliseconds of a flood in which nobody receives. */
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

export class PacketRing {
  readonly #mapping: Mapping;
  readonly #address: number;
  /** The ring in 32-bit and 16-bit words. */
  readonly words: Int32Array;
  readonly halves: Uint16Array;
  #block = 0;
  #slot = 0;
  /** Of the next frame, in bytes from the ring's beginning. */
  #at = 0;

  /**
   * @param fd a packet socket with PACKET_VNET_HDR that is not bound yet
   * @throws StillwireError SYSCALL: the kernel has no such ring, or no memory for one
   */
  constructor(fd: number) {
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

  /** Whether a frame waits in the next slot. Until it is, nothing else of the slot means anything. */
  get ready(): boolean {
    return (this.#status & Abi.TP_STATUS_USER) !== 0;
  }

  get #status(): number {
    return Atomics.load(this.words, this.#at >> 2);
  }

  /** Whether the frame of the next slot is longer than the slot, and waits in the socket instead. */
  get inSocket(): boolean {
    return (this.#status & Abi.TP_STATUS_COPY) !== 0;
  }

  /** Whether the frame of the next slot was too long for it, and the socket had no room either: it is lost. */
  get lost(): boolean {
    const word = this.#at >> 2;
    return !this.inSocket && this.words[word + LENGTH]! > this.words[word + STORED]!;
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
  get tag(): number {
    return strippedTag(this.#status, this.words[(this.#at >> 2) + VLAN]!);
  }

  /** The address of a place in the ring. */
  addressOf(at: number): number {
    return this.#address + at;
  }

  /** Gives the next slot back; the one behind it is next. */
  release(): void {
    Atomics.store(this.words, this.#at >> 2, 0);
    this.#at += SLOT_BYTES;
    if (++this.#slot < SLOTS_IN_BLOCK) return;
    this.#slot = 0;
    this.#block = (this.#block + 1) % BLOCKS;
    this.#at = this.#block * BLOCK_BYTES;
  }

  /** Nothing may be used any more. The socket keeps its ring until it is closed. */
  close(): void {
    unmap(this.#mapping);
  }
}
