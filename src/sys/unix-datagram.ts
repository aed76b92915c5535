/**
 * Unix datagram sockets (unix(7), net/unix/af_unix.c). They are reliable and keep their order; what limits a sender:
 *
 *   SO_SNDBUF of the sender   counts the memory of all it has sent and nobody has read; a send that finds it used up
 *                             gets EAGAIN. SIOCOUTQ shows what is used of it, so 0 means that everything was read
 *   max_dgram_qlen            frames in the receiver's queue, read from the receiver's namespace when its socket is
 *                             made. It does not apply where the receiver's peer is the sender: the two ends of a
 *                             socketpair are limited by their send buffers alone
 */
import { lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { StillwireError } from '../errors/index.js';
import { check, EADDRINUSE, EAGAIN, ECONNREFUSED, errno, native, systemError } from './libc.js';
import { closeFd } from './fd.js';
import { unsentBytes } from './packet.js';

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;
const MSG_DONTWAIT = 0x40;
/** sockaddr_un.sun_path, its closing zero included. */
const PATH_BYTES = 108;

const cSocket = native<[number, number, number]>('int socket(int domain, int type, int protocol)');
const cSocketpair = native<[number, number, number, Uint8Array]>(
  'int socketpair(int domain, int type, int protocol, void *fds)',
);
const cBind = native<[number, Uint8Array, number]>(
  'int bind(int fd, const void *address, unsigned int length)',
);
const cConnect = native<[number, Uint8Array, number]>(
  'int connect(int fd, const void *address, unsigned int length)',
);
const cSetsockopt = native<[number, number, number, Uint8Array, number]>(
  'int setsockopt(int fd, int level, int name, const void *value, unsigned int length)',
);
const cGetsockopt = native<[number, number, number, Uint8Array, Uint8Array]>(
  'int getsockopt(int fd, int level, int name, void *value, void *length)',
);

const cSend = native<[number, Uint8Array, number, number]>(
  'long send(int fd, const void *buffer, size_t length, int flags)',
);
const cRecv = native<[number, Uint8Array, number, number]>(
  'long recv(int fd, void *buffer, size_t length, int flags)',
);

/** Two connected datagram sockets, non-blocking, close-on-exec. */
export function datagramPair(): [number, number] {
  const fds = Buffer.alloc(8);
  check(cSocketpair(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0, fds), 'socketpair', 'AF_UNIX');
  return [fds.readInt32LE(0), fds.readInt32LE(4)];
}

/** struct sockaddr_un of a path, or of an abstract name, written with an `@` before it. @throws StillwireError PATH_TOO_LONG */
export function unixAddress(path: string): Buffer {
  const bytes = Buffer.byteLength(path);
  if (bytes >= PATH_BYTES) {
    const words = `${path} is ${bytes} bytes long, a socket takes ${PATH_BYTES - 1}`;
    throw new StillwireError('PATH_TOO_LONG', words, { path });
  }
  const abstract = path.startsWith('@');
  const address = Buffer.alloc(2 + (abstract ? bytes : PATH_BYTES)); // zeroes would be part of an abstract name
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  if (abstract) address[2] = 0;
  return address;
}

/**
 * A datagram socket bound to `path`, non-blocking, close-on-exec. A socket file that nobody has open any more is
 * replaced; who may write to it, and so send, is decided by the umask.
 * @throws StillwireError DEVICE_EXISTS when somebody has it open, or it is not a socket; PATH_TOO_LONG, NO_PRIVILEGE
 */
export function bindDatagram(path: string): number {
  const address = unixAddress(path);
  const fd = check(cSocket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), 'socket', 'AF_UNIX');
  try {
    const refused = cConnect(fd, address, address.length) < 0 && errno() === ECONNREFUSED; // so is a plain file
    if (refused && lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path);
    if (cBind(fd, address, address.length) === 0) return fd;
    const code = errno();
    if (code !== EADDRINUSE) throw systemError(code, 'bind', path);
    throw new StillwireError('DEVICE_EXISTS', `${path} is there already, and in use or not a socket`, {
      path,
    });
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/**
 * Sends one datagram to whoever has `path` (or `@name`) bound, without waiting.
 * @returns false when the receiver's queue is full: nothing was sent
 * @throws StillwireError PATH_TOO_LONG; NO_PRIVILEGE, SYSCALL when nobody is there, or it is not ours to write to
 */
export function sendDatagramTo(path: string, data: Uint8Array): boolean {
  const address = unixAddress(path);
  const fd = check(cSocket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), 'socket', 'AF_UNIX');
  try {
    check(cConnect(fd, address, address.length), 'connect', path);
    if (cSend(fd, data, data.length, MSG_DONTWAIT) >= 0) return true;
    if (errno() === EAGAIN) return false;
    throw systemError(errno(), 'send', path);
  } finally {
    closeFd(fd);
  }
}

/** Raises a socket's send buffer as far as this process may, at most to `bytes` (of which the kernel makes twice); what it is then. */
export function raiseSendBuffer(fd: number, bytes: number): number {
  const value = Buffer.alloc(4);
  value.writeInt32LE(bytes, 0);
  if (cSetsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, value, 4) < 0) {
    check(cSetsockopt(fd, SOL_SOCKET, SO_SNDBUF, value, 4), 'setsockopt', 'SO_SNDBUF'); // cut at net.core.wmem_max
  }
  const length = Buffer.from([4, 0, 0, 0]);
  check(cGetsockopt(fd, SOL_SOCKET, SO_SNDBUF, value, length), 'getsockopt', 'SO_SNDBUF');
  return value.readInt32LE(0);
}

/**
 * Upper bound of what a datagram of `length` bytes uses of its sender's buffer: the kernel rounds header and data up to
 * a power of two and adds its own bookkeeping (sock_alloc_send_pskb, alloc_skb).
 */
export function datagramCost(length: number): number {
  let rounded = 512;
  while (rounded < length + 384) rounded *= 2;
  return rounded + 512;
}

/** What it uses of it in truth, on this kernel: tried. */
export function exactDatagramCost(length: number): number {
  const [socket, otherEnd] = datagramPair();
  try {
    check(cSend(socket, Buffer.alloc(length), length, MSG_DONTWAIT), 'send', 'on a datagram pair');
    return unsentBytes(socket);
  } finally {
    closeFd(socket);
    closeFd(otherEnd);
  }
}

/** Reads one datagram into `buffer`: its bytes, at most as many as there is room for; 0 when none waits. */
export function readDatagram(fd: number, buffer: Uint8Array): number {
  const length = cRecv(fd, buffer, buffer.length, MSG_DONTWAIT);
  return length < 0 && errno() === EAGAIN ? 0 : check(length, 'recv', `fd ${fd}`);
}

const QUEUE_LENGTH = '/proc/sys/net/unix/max_dgram_qlen';

/** max_dgram_qlen of the calling thread's namespace, for sockets made from now on. */
export const datagramQueueLength = (): number => Number(readFileSync(QUEUE_LENGTH, 'latin1'));

/** Sets it, in a namespace that is ours alone. */
export const setDatagramQueueLength = (frames: number): void => writeFileSync(QUEUE_LENGTH, String(frames));

/** Send buffer a socket has whose owner did not set one. */
export const defaultSendBuffer = (): number =>
  Number(readFileSync('/proc/sys/net/core/wmem_default', 'latin1'));
