/**
 * TAP devices (drivers/net/tun.c). A TAP lives as long as any descriptor of it is open, in the namespace of the
 * thread that opened it. IFF_NO_PI equals IFF_NOFILTER (0x1000).
 */
import { fstatSync } from 'node:fs';
import { check, EAGAIN, EINTR, errno, native, settle, systemError } from './libc.js';
import { closeFd, O_NONBLOCK, O_RDWR, openFd } from './fd.js';

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETVNETHDRSZ = 0x800454d7;
const TUNGETIFF = 0x800454d2;
const TUNGETSNDBUF = 0x800454d3;
const INT_MAX = 0x7fffffff;
const TUNGETDEVNETNS = 0x54e3;
const IFF_TAP = 0x2;
const IFF_MULTI_QUEUE = 0x100;
const IFF_PERSIST = 0x800;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_TUN_EXCL = 0x8000;
/** TUN_F_…: what the reader of a TAP takes (linux/if_tun.h). UDP segmentation since Linux 6.2. */
export const OFFLOAD = { csum: 0x1, tso4: 0x2, tso6: 0x4, ecn: 0x8, uso4: 0x20, uso6: 0x40 } as const;
/** What a Linux peer is sure to take. */
const OFFLOAD_CSUM_TSO = OFFLOAD.csum | OFFLOAD.tso4 | OFFLOAD.tso6 | OFFLOAD.ecn;

const cIoctlBuffer = native<[number, number, Uint8Array]>(
  'int ioctl(int fd, unsigned long request, void *argument)',
);
const cIoctlNumber = native<[number, number, number]>(
  'int ioctl(int fd, unsigned long request, intptr_t argument)',
);

const cReadTo = native<[number, number, number]>('long read(int fd, intptr_t buffer, size_t count)');
const cWriteFrom = native<[number, number, number]>('long write(int fd, intptr_t buffer, size_t count)');
const cRead = native<[number, Uint8Array, number]>('long read(int fd, void *buffer, size_t count)');

/** What every descriptor of a TAP was opened on. */
export const TUN_DEVICE = '/dev/net/tun';

function setInterface(device: string, flags: number): number {
  const fd = openFd(TUN_DEVICE, O_RDWR | O_NONBLOCK);
  const ifr = Buffer.alloc(40);
  ifr.write(device, 0, 15, 'latin1');
  ifr.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags, 16);
  try {
    check(cIoctlBuffer(fd, TUNSETIFF, ifr), 'TUNSETIFF', device);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** Creates a TAP named `device` with virtio-net headers in the calling thread's namespace; its non-blocking descriptor. */
export const createTap = (device: string): number => setInterface(device, IFF_TUN_EXCL);

/**
 * Takes up a persistent TAP that nobody holds, in the calling thread's namespace; its non-blocking descriptor. One that
 * is not there is made.
 * @throws StillwireError SYSCALL, with errno EBUSY when somebody holds it
 */
export const attachTap = (device: string): number => setInterface(device, 0);

/** Lets the TAP of this descriptor outlive its last descriptor, or no longer. What lies in its ring dies all the same. */
export function setTapPersistent(fd: number, persistent: boolean): void {
  check(cIoctlNumber(fd, TUNSETPERSIST, persistent ? 1 : 0), 'TUNSETPERSIST', `fd ${fd}`);
}

/** The netdev behind a tun descriptor. */
export interface TapFacts {
  /** Its name now, in its own namespace. */
  readonly device: string;
  /** IFF_… as TUNGETIFF tells them. */
  readonly flags: number;
  readonly tap: boolean;
  readonly vnetHeader: boolean;
  readonly multiQueue: boolean;
  readonly persistent: boolean;
}

/**
 * What a descriptor of /dev/net/tun stands for, whoever opened it. It works from any namespace.
 * @throws StillwireError SYSCALL, with errno EBADFD when it has no device (any more)
 */
export function tapFacts(fd: number): TapFacts {
  const ifr = Buffer.alloc(40);
  check(cIoctlBuffer(fd, TUNGETIFF, ifr), 'TUNGETIFF', `fd ${fd}`);
  const flags = ifr.readUInt16LE(16);
  return {
    device: ifr.toString('latin1', 0, Math.min(16, ifr.indexOf(0))),
    flags,
    tap: (flags & IFF_TAP) !== 0,
    vnetHeader: (flags & IFF_VNET_HDR) !== 0,
    multiQueue: (flags & IFF_MULTI_QUEUE) !== 0,
    persistent: (flags & IFF_PERSIST) !== 0,
  };
}

/** Whether the kernel takes only so many bytes of the guest's at a time (TUNSETSNDBUF); QEMU asks for no bound. */
export function hasFiniteSendBuffer(fd: number): boolean {
  const bytes = Buffer.alloc(4);
  check(cIoctlBuffer(fd, TUNGETSNDBUF, bytes), 'TUNGETSNDBUF', `fd ${fd}`);
  return bytes.readInt32LE(0) !== INT_MAX;
}

/** The namespace a TAP's netdev is in, by the inode of its file (ioctl_ns(2)). Needs CAP_NET_ADMIN there. */
export function tapNamespace(fd: number): number {
  const namespace = check(cIoctlNumber(fd, TUNGETDEVNETNS, 0), 'TUNGETDEVNETNS', `fd ${fd}`);
  try {
    return fstatSync(namespace).ino;
  } finally {
    closeFd(namespace);
  }
}

/** Tells the kernel that this descriptor's reader takes these: super-frames and unfinished checksums, if nothing is said. */
export function acceptOffloads(fd: number, offloads: number = OFFLOAD_CSUM_TSO): void {
  check(cIoctlNumber(fd, TUNSETOFFLOAD, offloads), 'TUNSETOFFLOAD', `fd ${fd}`);
}

const size = Buffer.alloc(4);
/** Bytes of the virtio-net header before each frame that is read: 10, or 12 where the guest merges receive buffers. */
export function vnetHeaderBytes(fd: number): number {
  check(cIoctlBuffer(fd, TUNGETVNETHDRSZ, size), 'TUNGETVNETHDRSZ', `fd ${fd}`);
  return size.readInt32LE(0);
}

/** Reads one frame out of the ring, header first, as the TAP's reader would; its bytes, 0 when there is none. */
export function readRing(fd: number, into: Buffer): number {
  const length = cRead(fd, into, into.length);
  if (length >= 0) return length;
  if (errno() === EAGAIN || errno() === EINTR) return 0;
  throw systemError(errno(), 'read', `fd ${fd}`);
}

/** Reads one frame, header first, to an address: its bytes, 0 when none waits, -errno when there never will be one. */
export const readTap = (fd: number, address: number, length: number): number =>
  settle(cReadTo(fd, address, length));

/** Writes one frame, header first: its bytes, 0 when it is not taken now, -errno when it is refused. */
export const writeTap = (fd: number, address: number, length: number): number =>
  settle(cWriteFrom(fd, address, length));
