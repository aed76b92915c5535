/** timerfd_create(2): a descriptor that becomes readable at a time of CLOCK_MONOTONIC. `clearEvent` empties it. */
import { check, native } from './libc.js';
import { mapArena, putPointer } from './memory.js';

const CLOCK_MONOTONIC = 1;
const TFD_NONBLOCK_CLOEXEC = 0o2004000;
const TFD_TIMER_ABSTIME = 1;

const cCreate = native<[number, number]>('int timerfd_create(int clock, int flags)');
const cSetTime = native<[number, number, number, number]>(
  'int timerfd_settime(int fd, int flags, intptr_t value, intptr_t before)',
);

/** struct itimerspec: interval, which stays zero, and time at 16. */
const value = mapArena(32);

export const createTimer = (): number =>
  check(cCreate(CLOCK_MONOTONIC, TFD_NONBLOCK_CLOEXEC), 'timerfd_create');

/** Has the timer ring at `atMs` of `monotonicMs`, once, in place of any other time; at once when that has passed. */
export function setTimer(fd: number, atMs: number): void {
  const seconds = Math.floor(atMs / 1000);
  putPointer(value.bytes, 16, seconds);
  putPointer(value.bytes, 24, Math.max(1, Math.floor((atMs - seconds * 1000) * 1e6))); // zero would mean never
  check(cSetTime(fd, TFD_TIMER_ABSTIME, value.address, 0), 'timerfd_settime');
}
