/** Clocks that agree between the threads of the process. */
import { native } from './libc.js';
import { mapArena } from './memory.js';

const CLOCK_MONOTONIC = 1;
const CLOCK_THREAD_CPUTIME_ID = 3;
const cClockGettime = native<[number, number]>('int clock_gettime(int clock, intptr_t time)');

const time = mapArena(16); // struct timespec
const words = new Int32Array(time.bytes.buffer, time.bytes.byteOffset, 4);

function read(clock: number): number {
  cClockGettime(clock, time.address);
  return words[0]! * 1000 + words[2]! / 1e6; // 68 years of uptime
}

/** Milliseconds of CLOCK_MONOTONIC. Not from process.hrtime, which is no quicker and leaves garbage each time. */
export const monotonicMs = (): number => read(CLOCK_MONOTONIC);

/** Milliseconds of processor time that the calling thread has had. */
export const threadCpuMs = (): number => read(CLOCK_THREAD_CPUTIME_ID);

/** Wall clock in nanoseconds since 1970, to the microsecond. */
export const wallNs = (): bigint =>
  BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;

const never = new Int32Array(new SharedArrayBuffer(4));

/** Blocks this thread. Not while frames wait. */
export const pause = (milliseconds: number): void => {
  Atomics.wait(never, 0, 0, milliseconds);
};
