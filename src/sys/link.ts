/** Settings of a network device by name, in the calling thread's namespace (netdevice(7)). */
import { addressOf, check, native } from './libc.js';
import { closeFd } from './fd.js';
import { putPointer } from './memory.js';

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFMTU = 0x8922;
const SIOCSIFHWADDR = 0x8924;
const SIOCGIFINDEX = 0x8933;
const SIOCSIFTXQLEN = 0x8943;
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GTSO = 0x1e;
const IFF_UP = 0x1;
const IFF_NOARP = 0x80;
const ARPHRD_ETHER = 1;

const cSocket = native<[number, number, number]>('int socket(int domain, int type, int protocol)');
const cIoctl = native<[number, number, Uint8Array]>(
  'int ioctl(int fd, unsigned long request, void *argument)',
);

/** struct ifreq: name[16] and a union of 24 bytes. */
function request(device: string, call: string, code: number, fill: (ifr: Buffer) => void): Buffer {
  const ifr = Buffer.alloc(40);
  ifr.write(device, 0, 15, 'latin1');
  fill(ifr);
  const fd = check(cSocket(AF_INET, SOCK_DGRAM_CLOEXEC, 0), 'socket');
  try {
    check(cIoctl(fd, code, ifr), call, device);
    return ifr;
  } finally {
    closeFd(fd);
  }
}

const nothing = (): void => undefined;

export const linkIndex = (device: string): number =>
  request(device, 'SIOCGIFINDEX', SIOCGIFINDEX, nothing).readInt32LE(16);

/** Brings the device up; without ARP where nobody on this side has an address. */
export function setLinkUp(device: string, { arp }: { readonly arp: boolean }): void {
  const flags = request(device, 'SIOCGIFFLAGS', SIOCGIFFLAGS, nothing).readUInt16LE(16);
  const wanted = flags | IFF_UP | (arp ? 0 : IFF_NOARP);
  request(device, 'SIOCSIFFLAGS', SIOCSIFFLAGS, (ifr) => ifr.writeUInt16LE(wanted, 16));
}

export function setLinkMtu(device: string, mtu: number): void {
  request(device, 'SIOCSIFMTU', SIOCSIFMTU, (ifr) => ifr.writeInt32LE(mtu, 16));
}

/** For a TAP this is the size of its ring, in frames. */
export function setLinkQueueLength(device: string, frames: number): void {
  request(device, 'SIOCSIFTXQLEN', SIOCSIFTXQLEN, (ifr) => ifr.writeInt32LE(frames, 16));
}

export function setLinkMac(device: string, mac: Uint8Array): void {
  request(device, 'SIOCSIFHWADDR', SIOCSIFHWADDR, (ifr) => {
    ifr.writeUInt16LE(ARPHRD_ETHER, 16);
    ifr.set(mac, 18);
  });
}

/** Whether the device takes TCP super-frames whole; if not, the kernel segments them. For a TAP its reader says so. */
export function takesSuperFrames(device: string): boolean {
  const value = Buffer.alloc(8); // struct ethtool_value
  value.writeUInt32LE(ETHTOOL_GTSO, 0);
  request(device, 'ETHTOOL_GTSO', SIOCETHTOOL, (ifr) => putPointer(ifr, 16, addressOf(value)));
  return value.readUInt32LE(4) !== 0;
}
