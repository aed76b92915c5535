/** Handing a file descriptor to another process over a connected unix socket (SCM_RIGHTS, unix(7)). */
import { check, native, addressOf } from './libc.js';
import { putPointer } from './memory.js';

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const cSendmsg = native<[number, Uint8Array, number]>(
  'long sendmsg(int socket, const void *message, int flags)',
);

/**
 * Sends `data` with one descriptor attached to its first byte, in one call.
 * @throws StillwireError SYSCALL when the peer is gone or its buffer is full; nothing was sent then
 */
export function sendDescriptor(socket: number, data: Uint8Array, fd: number): void {
  const payload = Buffer.alloc(Math.max(data.length, 1), data);
  const control = Buffer.alloc(24); // cmsghdr: length u64, level i32, type i32, then the descriptor, padded to 8
  control.writeUInt32LE(20, 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(fd, 16);
  const iov = Buffer.alloc(16);
  putPointer(iov, 0, addressOf(payload));
  putPointer(iov, 8, payload.length);
  const message = Buffer.alloc(56); // msghdr: name, namelen, iov, iovlen, control, controllen, flags
  putPointer(message, 16, addressOf(iov));
  putPointer(message, 24, 1);
  putPointer(message, 32, addressOf(control));
  putPointer(message, 40, control.length);
  check(cSendmsg(socket, message, MSG_NOSIGNAL), 'sendmsg', 'with a descriptor');
}
