/** Clocks that agree between the threads of the process. */

/** Milliseconds of CLOCK_MONOTONIC. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Wall clock in nanoseconds since 1970, to the microsecond. */
export const wallNs = (): bigint =>
  BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
