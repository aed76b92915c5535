/** epoll(7), level-triggered, for one thread's loop. */
import { check, EINTR, errno, native, systemError } from './libc.js';
import { closeFd } from './fd.js';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
/** struct epoll_event is packed on x86-64 only (uapi/linux/eventpoll.h). */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const DATA_OFFSET = EVENT_BYTES - 8;
const MAX_EVENTS = 64;

const cCreate = native<[number]>('int epoll_create1(int flags)');
const cControl = native<[number, number, number, Uint8Array | null]>(
  'int epoll_ctl(int epfd, int op, int fd, void *event)',
);
const cWait = native<[number, Uint8Array, number, Uint8Array | null, number, number]>(
  'int epoll_pwait2(int epfd, void *events, int max, const void *timeout, intptr_t sigmask, size_t size)',
);

export class Epoll {
  readonly #fd = check(cCreate(EPOLL_CLOEXEC), 'epoll_create1');
  readonly #events = Buffer.alloc(EVENT_BYTES * MAX_EVENTS);
  readonly #timeout = Buffer.alloc(16);

  /** Wakes on readable; {@link wait} answers with `tag`, a number below 2^31. */
  add(fd: number, tag: number): void {
    const event = Buffer.alloc(EVENT_BYTES);
    event.writeUInt32LE(EPOLLIN, 0);
    event.writeInt32LE(tag, DATA_OFFSET);
    check(cControl(this.#fd, EPOLL_CTL_ADD, fd, event), 'epoll_ctl', `add fd ${fd}`);
  }

  remove(fd: number): void {
    check(cControl(this.#fd, EPOLL_CTL_DEL, fd, null), 'epoll_ctl', `remove fd ${fd}`);
  }

  /** Waits at most `microseconds` (negative: for ever) and fills `tags`; the number of ready descriptors. */
  wait(microseconds: number, tags: Int32Array): number {
    let timeout: Buffer | null = null;
    if (microseconds >= 0) {
      timeout = this.#timeout;
      timeout.writeUInt32LE(Math.floor(microseconds / 1_000_000), 0);
      timeout.writeUInt32LE((microseconds % 1_000_000) * 1000, 8);
    }
    const count = cWait(this.#fd, this.#events, Math.min(MAX_EVENTS, tags.length), timeout, 0, 8);
    if (count < 0) {
      if (errno() === EINTR) return 0;
      throw systemError(errno(), 'epoll_pwait2');
    }
    for (let i = 0; i < count; i++) tags[i] = this.#events.readInt32LE(i * EVENT_BYTES + DATA_OFFSET);
    return count;
  }

  close(): void {
    closeFd(this.#fd);
  }
}
