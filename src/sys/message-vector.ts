/**
 * Many frames in one system call, on packet and datagram sockets: recvmmsg(2) and sendmmsg(2).
 *
 * struct mmsghdr: msghdr (name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48), len 56.
 */
import { native, settle } from './libc.js';
import { mapArena, putPointer, type Arena } from './memory.js';
import { headersToSend, MESSAGE_BYTES } from './send-notes.js';
import { SOL_PACKET, PACKET_AUXDATA } from './packet-abi.js';
import { strippedTag } from './stripped-tag.js';

const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;

const cRecvmmsg = native<[number, number, number, number, number]>(
  'int recvmmsg(int fd, intptr_t messages, unsigned int count, int flags, intptr_t timeout)',
);
const cSendmmsg = native<[number, number, number, number]>(
  'int sendmmsg(int fd, intptr_t messages, unsigned int count, int flags)',
);

const IOVEC_BYTES = 16;
/** cmsghdr (16) and struct tpacket_auxdata (20), aligned, with room to spare. */
const CONTROL_BYTES = 64;
const AUXDATA_BYTES = 36;
/** The longest socket address we send to, sockaddr_un, with room to spare. */
const NAME_BYTES = 128;
const VNET_BYTES = 10;

/** Sizes and places in 32-bit words, for the hot path. */
const MESSAGE = MESSAGE_BYTES / 4;
const PIECES = (2 * IOVEC_BYTES) / 4;
const CONTROL = CONTROL_BYTES / 4;
const CONTROL_POINTER = 8;
const CONTROL_LENGTH = 10;
const FLAGS = 12;
const LENGTH = 14;

/**
 * A fixed number of messages, each two pieces: the virtio-net header and the frame; or one, where the header lies right
 * before the frame, which costs the kernel less. Laid out once; a message's pieces are set by address. Serves recvmmsg and
 * sendmmsg.
 */
export class MessageVector {
  readonly capacity: number;
  readonly #headerBytes: number;
  readonly #memory: Arena;
  readonly #words: Int32Array;
  readonly #pieces: number;
  readonly #control: number;
  readonly #nameBase: number;

  /** @param headerBytes 0 where frames travel without a virtio-net header; @param pieces of each message */
  constructor(capacity: number, headerBytes = VNET_BYTES, pieces: 1 | 2 = 2) {
    this.capacity = capacity;
    this.#headerBytes = headerBytes;
    const iovs = capacity * MESSAGE_BYTES;
    const control = iovs + capacity * 2 * IOVEC_BYTES;
    this.#nameBase = control + capacity * CONTROL_BYTES;
    this.#pieces = iovs / 4;
    this.#control = control / 4;
    this.#memory = mapArena(this.#nameBase + NAME_BYTES);
    const { bytes, address } = this.#memory;
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    for (let i = 0; i < capacity; i++) {
      const iov = iovs + i * 2 * IOVEC_BYTES;
      putPointer(bytes, i * MESSAGE_BYTES + 16, address + iov);
      putPointer(bytes, i * MESSAGE_BYTES + 24, pieces);
      putPointer(bytes, iov + 8, headerBytes);
    }
  }

  /** In two words; what does not fit into the first is cut off there. */
  #setPointer(word: number, address: number): void {
    this.#words[word] = address;
    this.#words[word + 1] = address > 0xffff_ffff ? Math.floor(address / 0x1_0000_0000) : 0;
  }

  /** Points message `i` at a header and a frame. */
  set(i: number, vnetAddress: number, frameAddress: number, frameBytes: number): void {
    const iov = this.#pieces + i * PIECES;
    this.#setPointer(iov, vnetAddress);
    this.#setPointer(iov + 4, frameAddress);
    this.#words[iov + 6] = frameBytes;
  }

  /** Points message `i`, of one piece, at a frame with its header, if there is one. */
  setWhole(i: number, address: number, bytes: number): void {
    const iov = this.#pieces + i * PIECES;
    this.#setPointer(iov, address);
    this.#words[iov + 2] = bytes;
  }

  /** Gives `count` messages from `from` on room for ancillary data again; the kernel overwrites the field. */
  armControl(from: number, count: number): void {
    for (let i = from; i < from + count; i++) {
      const message = i * MESSAGE;
      this.#setPointer(message + CONTROL_POINTER, this.#memory.address + 4 * (this.#control + i * CONTROL));
      this.#words[message + CONTROL_LENGTH] = CONTROL_BYTES;
    }
  }

  /** Frame bytes of received message `i`, without the virtio-net header. */
  frameBytes(i: number): number {
    return this.#words[i * MESSAGE + LENGTH]! - this.#headerBytes;
  }

  /** Whether received message `i` was longer than its room; the rest of it is gone. */
  truncated(i: number): boolean {
    return (this.#words[i * MESSAGE + FLAGS]! & MSG_TRUNC) !== 0;
  }

  /** Sends every message to this socket address from now on. */
  aimAt(address: Uint8Array): void {
    this.#memory.bytes.set(address, this.#nameBase);
    for (let i = 0; i < this.capacity; i++) {
      putPointer(this.#memory.bytes, i * MESSAGE_BYTES, this.#memory.address + this.#nameBase);
      this.#memory.bytes.writeUInt32LE(address.length, i * MESSAGE_BYTES + 8);
    }
  }

  /** The 802.1Q tag the kernel stripped from message `i`; see {@link strippedTag}. */
  strippedTag(i: number): number {
    const words = this.#words;
    if (words[i * MESSAGE + CONTROL_LENGTH]! < AUXDATA_BYTES) return -1;
    const control = this.#control + i * CONTROL; // struct cmsghdr: length 0, level 8, type 12; the data at 16
    if (words[control + 2] !== SOL_PACKET || words[control + 3] !== PACKET_AUXDATA) return -1;
    return strippedTag(words[control + 4]!, words[control + 8]!);
  }

  /** recvmmsg into messages from `from` on: how many arrived, 0 when nothing waits, -errno when the first is refused. */
  receive(fd: number, from: number, count: number): number {
    return settle(cRecvmmsg(fd, this.#memory.address + from * MESSAGE_BYTES, count, MSG_DONTWAIT, 0));
  }

  /** sendmmsg of messages `from` to `to`: how many were taken, 0 when the socket is full, -errno when the first is refused. */
  send(fd: number, from: number, to: number): number {
    return settle(cSendmmsg(fd, headersToSend(this.#memory, from, to), to - from, MSG_DONTWAIT));
  }
}
