/** Clocks that agree between the threads of the process. */

/** Where this thread's performance.now() begins on CLOCK_MONOTONIC; it is read several times as fast as hrtime. */
const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Milliseconds of CLOCK_MONOTONIC, to a few microseconds between threads. */
export const monotonicMs = (): number => origin + performance.now();

/** Wall clock in nanoseconds since 1970, to the microsecond. */
export const wallNs = (): bigint =>
  BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
