/** Time as the quiesce sees it: a simulator brings its own. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Time {
  /** Monotonic milliseconds. */
  now(): number;
  /** Waits; an abort ends it with the signal's reason. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

export const realTime: Time = {
  now: () => performance.now(),
  async pause(ms, signal) {
    signal.throwIfAborted();
    await sleep(ms, undefined, { signal }).catch((error: unknown) => {
      signal.throwIfAborted(); // the reason of the abort, not the timer's own AbortError
      throw error;
    });
  },
};
