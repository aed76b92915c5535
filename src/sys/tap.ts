/**
 * TAP devices (drivers/net/tun.c). A TAP lives as long as any descriptor of it is open, in the namespace of the
 * thread that opened it. IFF_NO_PI equals IFF_NOFILTER (0x1000).
 */
import { check, native } from './libc.js';
import { closeFd, O_NONBLOCK, O_RDWR, openFd } from './fd.js';

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
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
