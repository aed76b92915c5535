/** File descriptors: opening, duplicating, polling, locking. */
import { constants, readdirSync, readlinkSync } from 'node:fs';
import { check, EAGAIN, errno, native, nativeAsync, systemError } from './libc.js';

const O_CLOEXEC = 0o2000000;
const F_DUPFD_CLOEXEC = 1030;
const LOCK_EX = 2;
const LOCK_NB = 4;
const POLLIN = 1;
const EFD_NONBLOCK_CLOEXEC = 0o2004000;

const cOpen = native<[string, number, number]>('int open(const char *path, int flags, int mode)');
const cClose = native<[number]>('int close(int fd)');
const cFcntl = native<[number, number, number]>('int fcntl(int fd, int command, intptr_t argument)');
const cPoll = native<[Uint8Array, number, number]>('int poll(void *fds, unsigned long count, int timeout)');
const cEventfd = native<[number, number]>('int eventfd(unsigned int initial, int flags)');
const cRead = native<[number, Uint8Array, number]>('long read(int fd, void *buffer, size_t count)');
const cWrite = native<[number, Uint8Array, number]>('long write(int fd, const void *buffer, size_t count)');
const cFlock = native<[number, number]>('int flock(int fd, int operation)');

const cFallocate = nativeAsync<[number, number, number, number]>(
  'int fallocate(int fd, int mode, long offset, long length)',
);
const cLseek = native<[number, number, number]>('long lseek(int fd, long offset, int whence)');
const cFtruncate = native<[number, number]>('int ftruncate(int fd, long length)');
const SEEK_CUR = 1;

/** Opens `path` with close-on-exec. */
export const openFd = (path: string, flags: number, mode = 0o600): number =>
  check(cOpen(path, flags | O_CLOEXEC, mode), 'open', path);

export const closeFd = (fd: number): void => {
  check(cClose(fd), 'close', `fd ${fd}`);
};

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/**
 * Keeps every descriptor above 2 that this process was given from the programs it starts: a shell's pipe that a daemon
 * holds open would never end. Node's own, and ours, are so already.
 */
export function keepInheritedFds(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    if (Number(name) > 2) cFcntl(Number(name), F_SETFD, FD_CLOEXEC); // one of them is gone again: the directory's own
  }
}

/** A second descriptor of the same open file, close-on-exec. */
export const duplicateFd = (fd: number): number =>
  check(cFcntl(fd, F_DUPFD_CLOEXEC, 3), 'fcntl', `F_DUPFD ${fd}`);

/** What it was opened on, as /proc shows it: a path, or such as `socket:[4711]`, which no two sockets have. */
export const descriptorName = (fd: number): string => readlinkSync(`/proc/self/fd/${fd}`);

const pollfd = Buffer.alloc(8);

/** Whether a read would find something now. For a TAP: whether its ring holds a frame (drivers/net/tun.c). */
export function isReadable(fd: number): boolean {
  pollfd.writeInt32LE(fd, 0);
  pollfd.writeInt32LE(POLLIN, 4);
  check(cPoll(pollfd, 1, 0), 'poll', `fd ${fd}`);
  return (pollfd.readUInt16LE(6) & POLLIN) !== 0;
}

export const createEvent = (): number => check(cEventfd(0, EFD_NONBLOCK_CLOEXEC), 'eventfd');

const one = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
/** Makes an eventfd readable. May be called from any thread. */
export const signalEvent = (fd: number): void => {
  check(cWrite(fd, one, 8), 'write', 'eventfd');
};

const sink = Buffer.alloc(8);
/** Makes an eventfd unreadable again. */
export const clearEvent = (fd: number): void => {
  if (cRead(fd, sink, 8) < 0 && errno() !== EAGAIN) throw systemError(errno(), 'read', 'eventfd');
};

/** Reserves room for a file about to be written, on another thread. False when the file system cannot, or has not the room. */
export const reserve = async (fd: number, bytes: number): Promise<boolean> =>
  (await cFallocate(fd, 0, 0, bytes)) === 0;

/** Cuts a file off where the last write through this open file ended, be it another process's; its size then. */
export function cutAtPosition(fd: number): number {
  const position = check(cLseek(fd, 0, SEEK_CUR), 'lseek', `fd ${fd}`);
  check(cFtruncate(fd, position), 'ftruncate', `fd ${fd}`);
  return position;
}

/** Takes an exclusive lock on an open file; false when another holds it. The lock ends with the descriptor. */
export function tryLock(fd: number): boolean {
  if (cFlock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  if (errno() === EAGAIN) return false;
  throw systemError(errno(), 'flock');
}

export const O_RDWR = constants.O_RDWR;
export const O_RDONLY = constants.O_RDONLY;
export const O_CREAT = constants.O_CREAT;
export const O_NONBLOCK = constants.O_NONBLOCK;
export const O_EXCL = constants.O_EXCL;
