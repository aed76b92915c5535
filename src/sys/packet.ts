/**
 * Packet sockets with virtio-net headers (packet(7), net/packet/af_packet.c), in batches.
 *
 * Why not the simpler settings: PACKET_QDISC_BYPASS makes a super-frame to a device without TSO fail with ENOBUFS
 * instead of being segmented; protocol 0 at creation keeps frames of other devices out before the bind.
 */
import { check, native, settle } from './libc.js';
import { closeFd } from './fd.js';
import { mapArena, putPointer, type Arena } from './memory.js';
import { headersToSend, MESSAGE_BYTES } from './send-notes.js';

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const ETH_P_ALL = 0x0003;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const PACKET_AUXDATA = 8;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const SIOCOUTQ = 0x5411;
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;
const ETH_P_8021Q = 0x8100;

const cSocket = native<[number, number, number]>('int socket(int domain, int type, int protocol)');
const cBind = native<[number, Uint8Array, number]>(
  'int bind(int fd, const void *address, unsigned int length)',
);
const cSetsockopt = native<[number, number, number, Uint8Array, number]>(
  'int setsockopt(int fd, int level, int name, const void *value, unsigned int length)',
);
const cGetsockopt = native<[number, number, number, Uint8Array, Uint8Array]>(
  'int getsockopt(int fd, int level, int name, void *value, void *length)',
);
const cIoctl = native<[number, number, Uint8Array]>(
  'int ioctl(int fd, unsigned long request, void *argument)',
);
const cRecvmmsg = native<[number, number, number, number, number]>(
  'int recvmmsg(int fd, intptr_t messages, unsigned int count, int flags, intptr_t timeout)',
);
const cSendmmsg = native<[number, number, number, number]>(
  'int sendmmsg(int fd, intptr_t messages, unsigned int count, int flags)',
);

// struct mmsghdr: msghdr (name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48), len 56.
const IOVEC_BYTES = 16;
/** cmsghdr (16) and struct tpacket_auxdata (20), aligned, with room to spare. */
const CONTROL_BYTES = 64;
/** The longest socket address we send to, sockaddr_un, with room to spare. */
const NAME_BYTES = 128;
const VNET_BYTES = 10;

/**
 * A fixed number of messages, each two pieces: the virtio-net header and the frame. Laid out once; a message's
 * pieces are set by address. Serves recvmmsg and sendmmsg.
 */
export class MessageVector {
  readonly capacity: number;
  readonly #headerBytes: number;
  readonly #memory: Arena;
  readonly #iovBase: number;
  readonly #controlBase: number;
  readonly #nameBase: number;

  /** @param headerBytes 0 where frames travel without a virtio-net header */
  constructor(capacity: number, headerBytes = VNET_BYTES) {
    this.capacity = capacity;
    this.#headerBytes = headerBytes;
    this.#iovBase = capacity * MESSAGE_BYTES;
    this.#controlBase = this.#iovBase + capacity * 2 * IOVEC_BYTES;
    this.#nameBase = this.#controlBase + capacity * CONTROL_BYTES;
    this.#memory = mapArena(this.#nameBase + NAME_BYTES);
    for (let i = 0; i < capacity; i++) {
      putPointer(this.#memory.bytes, i * MESSAGE_BYTES + 16, this.#iovAddress(i));
      putPointer(this.#memory.bytes, i * MESSAGE_BYTES + 24, 2);
    }
  }

  #iovAddress(i: number): number {
    return this.#memory.address + this.#iovBase + i * 2 * IOVEC_BYTES;
  }

  /** Points message `i` at a header and a frame. */
  set(i: number, vnetAddress: number, frameAddress: number, frameBytes: number): void {
    const iov = this.#iovBase + i * 2 * IOVEC_BYTES;
    putPointer(this.#memory.bytes, iov, vnetAddress);
    this.#memory.bytes.writeUInt32LE(this.#headerBytes, iov + 8);
    putPointer(this.#memory.bytes, iov + 16, frameAddress);
    this.#memory.bytes.writeUInt32LE(frameBytes, iov + 24);
  }

  /** Gives the first `count` messages room for ancillary data again; the kernel overwrites the field. */
  armControl(count: number): void {
    for (let i = 0; i < count; i++) {
      const message = i * MESSAGE_BYTES;
      putPointer(
        this.#memory.bytes,
        message + 32,
        this.#memory.address + this.#controlBase + i * CONTROL_BYTES,
      );
      this.#memory.bytes.writeUInt32LE(CONTROL_BYTES, message + 40);
    }
  }

  /** Frame bytes of received message `i`, without the virtio-net header. */
  frameBytes(i: number): number {
    return this.#memory.bytes.readUInt32LE(i * MESSAGE_BYTES + 56) - this.#headerBytes;
  }

  /** Whether received message `i` was longer than its room; the rest of it is gone. */
  truncated(i: number): boolean {
    return (this.#memory.bytes.readUInt32LE(i * MESSAGE_BYTES + 48) & MSG_TRUNC) !== 0;
  }

  /** Sends every message to this socket address from now on. */
  aimAt(address: Uint8Array): void {
    this.#memory.bytes.set(address, this.#nameBase);
    for (let i = 0; i < this.capacity; i++) {
      putPointer(this.#memory.bytes, i * MESSAGE_BYTES, this.#memory.address + this.#nameBase);
      this.#memory.bytes.writeUInt32LE(address.length, i * MESSAGE_BYTES + 8);
    }
  }

  /** The 802.1Q tag the kernel stripped from message `i` (TPID << 16 | TCI), or -1. */
  strippedTag(i: number): number {
    const bytes = this.#memory.bytes;
    if (bytes.readUInt32LE(i * MESSAGE_BYTES + 40) < 36) return -1;
    const control = this.#controlBase + i * CONTROL_BYTES;
    if (bytes.readInt32LE(control + 8) !== SOL_PACKET || bytes.readInt32LE(control + 12) !== PACKET_AUXDATA)
      return -1;
    const status = bytes.readUInt32LE(control + 16);
    if ((status & TP_STATUS_VLAN_VALID) === 0) return -1;
    const tci = bytes.readUInt16LE(control + 32);
    const tpid = (status & TP_STATUS_VLAN_TPID_VALID) === 0 ? ETH_P_8021Q : bytes.readUInt16LE(control + 34);
    return tpid * 0x10000 + tci;
  }

  /** recvmmsg: how many arrived; 0 when nothing waits. */
  receive(fd: number, count: number): number {
    return settle(cRecvmmsg(fd, this.#memory.address, count, MSG_DONTWAIT, 0));
  }

  /** sendmmsg of messages `from` to `to`: how many were taken, 0 when the socket is full, -errno when the first is refused. */
  send(fd: number, from: number, to: number): number {
    return settle(cSendmmsg(fd, headersToSend(this.#memory, from, to), to - from, MSG_DONTWAIT));
  }
}

function setOption(fd: number, level: number, name: number, value: number, what: string): void {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value, 0);
  check(cSetsockopt(fd, level, name, buffer, 4), 'setsockopt', what);
}

/** Opens a packet socket on the device with this index, which must be up, in the calling thread's namespace. */
export function openPacketSocket(deviceIndex: number, bufferBytes: number): number {
  const fd = check(cSocket(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, 0), 'socket', 'AF_PACKET');
  try {
    setOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1, 'PACKET_VNET_HDR');
    setOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, 'PACKET_IGNORE_OUTGOING');
    setOption(fd, SOL_PACKET, PACKET_AUXDATA, 1, 'PACKET_AUXDATA');
    setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes, 'SO_RCVBUFFORCE');
    setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bufferBytes, 'SO_SNDBUFFORCE');
    const address = Buffer.alloc(20); // struct sockaddr_ll
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(ETH_P_ALL, 2);
    address.writeInt32LE(deviceIndex, 4);
    check(cBind(fd, address, address.length), 'bind', `AF_PACKET to link ${deviceIndex}`);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** What a packet socket counted since the last call; in 32 bits, wrapping. */
export interface PacketCounts {
  /** Frames handed to it, those it dropped included. */
  readonly handed: number;
  readonly dropped: number;
}

/** Reading PACKET_STATISTICS resets it. */
export function takePacketCounts(fd: number): PacketCounts {
  const value = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(8, 0);
  check(cGetsockopt(fd, SOL_PACKET, PACKET_STATISTICS, value, length), 'getsockopt', 'PACKET_STATISTICS');
  return { handed: value.readUInt32LE(0), dropped: value.readUInt32LE(4) };
}

/** Frames the socket has dropped since the last call. */
export const takePacketDrops = (fd: number): number => takePacketCounts(fd).dropped;

const unsent = Buffer.alloc(4);
/** Bytes sent on this socket that have not left the qdisc; on a unix socket, that nobody has read. */
export function unsentBytes(fd: number): number {
  check(cIoctl(fd, SIOCOUTQ, unsent), 'SIOCOUTQ');
  return unsent.readInt32LE(0);
}
