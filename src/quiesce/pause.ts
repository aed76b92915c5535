/** Waiting that an abort ends, with the reason of the abort and not the timer's own AbortError. */
import { setTimeout as sleep } from 'node:timers/promises';

/** @throws the signal's reason */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
}
