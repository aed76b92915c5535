/**
 * Packet sockets with virtio-net headers (packet(7), net/packet/af_packet.c).
 *
 * Why not the simpler settings: PACKET_QDISC_BYPASS makes a super-frame to a device without TSO fail with ENOBUFS
 * instead of being segmented; protocol 0 at creation keeps frames of other devices out before the bind.
 */
import { check, native } from './libc.js';
import { closeFd } from './fd.js';
import {
  PACKET_AUXDATA,
  PACKET_IGNORE_OUTGOING,
  PACKET_STATISTICS,
  PACKET_VNET_HDR,
  SOL_PACKET,
} from './packet-abi.js';
import { PacketRing } from './packet-ring.js';

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const ETH_P_ALL = 0x0003;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SIOCOUTQ = 0x5411;

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

const socketError = Buffer.alloc(4);
const errorLength = Buffer.alloc(4);

function setOption(fd: number, level: number, name: number, value: number, what: string): void {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value, 0);
  check(cSetsockopt(fd, level, name, buffer, 4), 'setsockopt', what);
}

/** Opens a packet socket on the device with this index, which must be up, in the calling thread's namespace. */
export function openPacketSocket(deviceIndex: number, bufferBytes: number): number {
  return openPacketSocketWith(deviceIndex, bufferBytes, () => undefined).fd;
}

/** The same with a ring to receive from; without one where the kernel gives none. */
export function openPacketSocketWithRing(
  deviceIndex: number,
  bufferBytes: number,
): { readonly fd: number; readonly ring: PacketRing | undefined } {
  const made: PacketRing[] = [];
  try {
    return openPacketSocketWith(deviceIndex, bufferBytes, (fd) => {
      const ring = new PacketRing(fd);
      made.push(ring);
      return ring;
    });
  } catch {
    for (const ring of made) ring.close();
    // No memory for it, or a kernel that knows of none. Another socket: this one may have a ring that nobody can read.
    return { fd: openPacketSocket(deviceIndex, bufferBytes), ring: undefined };
  }
}

/** @param equip is done before the first frame can come */
function openPacketSocketWith<R>(
  deviceIndex: number,
  bufferBytes: number,
  equip: (fd: number) => R,
): { fd: number; ring: R } {
  const fd = check(cSocket(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, 0), 'socket', 'AF_PACKET');
  try {
    setOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1, 'PACKET_VNET_HDR');
    setOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, 'PACKET_IGNORE_OUTGOING');
    setOption(fd, SOL_PACKET, PACKET_AUXDATA, 1, 'PACKET_AUXDATA');
    setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes, 'SO_RCVBUFFORCE');
    setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bufferBytes, 'SO_SNDBUFFORCE');
    const ring = equip(fd);
    const address = Buffer.alloc(20); // struct sockaddr_ll
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(ETH_P_ALL, 2);
    address.writeInt32LE(deviceIndex, 4);
    check(cBind(fd, address, address.length), 'bind', `AF_PACKET to link ${deviceIndex}`);
    return { fd, ring };
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** Takes what a socket has to tell out of it: a device that went away. As long as it is there, poll(2) reports it. */
export function clearSocketError(fd: number): void {
  errorLength.writeUInt32LE(4, 0);
  check(cGetsockopt(fd, SOL_SOCKET, SO_ERROR, socketError, errorLength), 'getsockopt', 'SO_ERROR');
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
