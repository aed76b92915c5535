/**
 * Emptying the way down: waiting until what had been delivered before the hold is truly inside the guests.
 *
 * `count` proves it: a sentinel goes out behind the last frame, and when the kernel shows the ring empty, it and
 * everything before it has been read (see frame/sentinel.ts for why that is enough). No fixed wait. A guest that
 * reads nothing (no driver, halted, too slow) makes its port unproven when the bound has passed; the bound lies below
 * TCP's minimum RTO of 200 ms, so that even a vain try is not felt.
 *
 * `quiet`, the heuristic of the 2013 paper, only waits; it proves nothing.
 */
import type { Channel, Observation } from './channel.js';
import { judge, type QuiesceMethod } from './evidence.js';
import { pause } from './pause.js';

export interface DrainBounds {
  /** How long `count` waits for slow guests, milliseconds. */
  readonly drainMs: number;
  /**
   * How long `count` lets the guests run on, held, even when all is drained: what they send meanwhile is in flight at
   * the cut. Milliseconds, less than {@link drainMs}; 0 but for showing and testing.
   */
  readonly lingerMs: number;
  /** How long nothing may have moved for `quiet`, milliseconds. */
  readonly quietMs: number;
}

export const DEFAULT_BOUNDS: DrainBounds = { drainMs: 100, lingerMs: 0, quietMs: 50 };

/** Asks again without pause for this long; after that the guest is slow and a pause costs nothing. */
const EAGER_MS = 5;

/** Everything upwards is taken as settled: at this point only the way down is judged. */
export function isDrained({ up, ...rest }: Observation): boolean {
  const settled = { ...up, deviceFrames: up.receivedFrames, socketDrops: 0, queueEmpty: true };
  return judge({ ...rest, up: settled, method: 'count' }).proven;
}

/** Drains every port at once. Resolves with what was seen last, whether or not it proves anything. */
export async function drain(
  channel: Channel,
  epoch: number,
  method: QuiesceMethod,
  bounds: DrainBounds,
  signal: AbortSignal,
): Promise<Observation[]> {
  if (method === 'quiet') {
    await pause(bounds.quietMs, signal);
    return channel.observe(epoch);
  }
  await channel.sentinels(epoch);
  const began = performance.now();
  for (;;) {
    signal.throwIfAborted();
    const seen = await channel.observe(epoch);
    const elapsed = performance.now() - began;
    const done = elapsed >= bounds.lingerMs && seen.every(isDrained);
    if (done || elapsed >= bounds.drainMs) return seen;
    if (elapsed > EAGER_MS) await pause(1, signal);
  }
}
