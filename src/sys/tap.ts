/**
 * TAP devices (drivers/net/tun.c). A TAP lives as long as any descriptor of it is open, in the namespace of the
 * thread that opened it. IFF_NO_PI equals IFF_NOFILTER (0x1000).
 */
import { check, EAGAIN, EINTR, errno, native, systemError } from './libc.js';
import { closeFd, O_NONBLOCK, O_RDWR, openFd } from './fd.js';

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETVNETHDRSZ = 0x800454d7;
const IFF_TAP = 0x2;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_TUN_EXCL = 0x8000;
/** Checksum, TSO for IPv4 and IPv6, ECN: what a Linux peer is sure to take. */
const OFFLOAD_CSUM_TSO = 0x1 | 0x2 | 0x4 | 0x8;

const cIoctlBuffer = native<[number, number, Uint8Array]>(
  'int ioctl(int fd, unsigned long request, void *argument)',
);
const cIoctlNumber = native<[number, number, number]>(
  'int ioctl(int fd, unsigned long request, intptr_t argument)',
);

const cRead = native<[number, Uint8Array, number]>('long read(int fd, void *buffer, size_t count)');

/** Creates a TAP named `device` with virtio-net headers in the calling thread's namespace; its non-blocking descriptor. */
export function createTap(device: string): number {
  const fd = openFd('/dev/net/tun', O_RDWR | O_NONBLOCK);
  const ifr = Buffer.alloc(40);
  ifr.write(device, 0, 15, 'latin1');
  ifr.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL, 16);
  try {
    check(cIoctlBuffer(fd, TUNSETIFF, ifr), 'TUNSETIFF', device);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** Tells the kernel that this descriptor's reader takes super-frames and unfinished checksums. */
export function acceptOffloads(fd: number): void {
  check(cIoctlNumber(fd, TUNSETOFFLOAD, OFFLOAD_CSUM_TSO), 'TUNSETOFFLOAD', `fd ${fd}`);
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
