/**
 * The lock of a network: an flock on NETWORK.lock, which the kernel gives up when its holder dies, however it dies.
 *
 * The file is removed at a regular end. Between opening and locking, another may thus have removed it and a third have
 * made a new one: a lock counts only while the path still names the file that was locked.
 */
import { constants, fstatSync, statSync, unlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import { closeFd, O_CREAT, O_RDWR, openFd, tryLock } from '../sys/index.js';

/** Whoever asks {@link isLocked} holds the lock for an instant; that is no daemon. */
const TRIES = 4;
const RETRY_MS = 15;

const sameFile = (fd: number, path: string): boolean => {
  const named = statSync(path, { throwIfNoEntry: false });
  const held = fstatSync(fd);
  return named !== undefined && named.ino === held.ino && named.dev === held.dev;
};

export class NetworkLock {
  readonly #path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  /** Takes the lock; undefined when another has it. @throws StillwireError NO_PRIVILEGE, SYSCALL */
  static async acquire(path: string): Promise<NetworkLock | undefined> {
    for (let tries = 0; tries < TRIES;) {
      const fd = openFd(path, O_RDWR | O_CREAT | constants.O_NOFOLLOW, 0o600);
      const locked = tryLock(fd);
      if (locked && sameFile(fd, path)) return new NetworkLock(path, fd);
      closeFd(fd);
      if (locked) continue; // a file that has just been removed: try the next at once
      tries++;
      await delay(RETRY_MS);
    }
    return undefined;
  }

  /** Gives the lock up; the file goes first, so that nobody finds it free and takes it for a dead daemon's. */
  release(): void {
    unlinkSync(this.#path);
    closeFd(this.#fd);
  }

  /** Gives the lock up as a crash would: the file stays. */
  abandon(): void {
    closeFd(this.#fd);
  }
}

/** Whether somebody lives behind this lock. One that we may not open is taken for locked. */
export function isLocked(path: string): boolean {
  let fd: number;
  try {
    fd = openFd(path, O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    return error instanceof StillwireError && error.code === 'NO_PRIVILEGE';
  }
  try {
    return !tryLock(fd);
  } finally {
    closeFd(fd);
  }
}
