/**
 * Emptying the way down: waiting until what had been delivered before the hold is truly inside the guests.
 *
 * `count` proves it by the kernel: sentinels go out behind the last frame, and when the kernel shows the ring empty,
 * they and everything before them have been read (see frame/sentinel.ts for why that is enough). `cookie` proves it by
 * the guest: a marker goes out behind the last frame, and its answer says that all before it was received. Neither
 * waits a fixed time. A guest that reads or answers nothing (no driver, halted, too slow) is unready when the bound
 * has passed; the bound lies below TCP's minimum RTO of 200 ms, so that even a vain try is not felt.
 *
 * `auto` is `count` where the kernel's evidence can prove both ways of a port, and `cookie` where it cannot and
 * somebody answers.
 *
 * `quiet`, the heuristic of the 2013 paper, only waits; it proves nothing.
 */
import type { Channel, Observation } from './channel.js';
import { downDoubt, type PortMethod, type QuiesceMethod } from './evidence.js';
import type { Time } from './time.js';

export interface DrainBounds {
  /** How long to wait for slow guests, milliseconds. */
  readonly drainMs: number;
  /**
   * How long the guests are let run on, held, even when all is drained: what they send meanwhile is in flight at the
   * cut. Milliseconds, less than {@link drainMs}; 0 but for showing and testing.
   */
  readonly lingerMs: number;
  /** How long nothing may have moved for `quiet`, milliseconds. */
  readonly quietMs: number;
}

export const DEFAULT_BOUNDS: DrainBounds = { drainMs: 100, lingerMs: 0, quietMs: 50 };

/** Asks again without pause for this long; after that the guest is slow and a pause costs nothing. */
const EAGER_MS = 5;

/** How a port is judged when `asked` is what the caller wants. */
export function methodOf(asked: QuiesceMethod, { kernelProof, down }: Observation): PortMethod {
  if (asked !== 'auto') return asked;
  return !kernelProof && down.cookie === 'answered' ? 'cookie' : 'count';
}

/** Whether the way down of a port has been seen empty. */
export const isDrained = (asked: QuiesceMethod, seen: Observation): boolean =>
  downDoubt({ ...seen, method: methodOf(asked, seen) }) === undefined;

/** A guest that reads, but whom nobody can ask: its cut will not be proven, and no waiting helps. */
const isMute = (asked: QuiesceMethod, { down }: Observation): boolean =>
  asked === 'cookie' && down.cookie === 'unasked';

/** Ports whose guests take nothing: what was sent to them still lies before them. `quiet` does not look. */
export const unreadyOf = (asked: QuiesceMethod, seen: readonly Observation[]): Observation[] =>
  seen.filter((port) => !isDrained(asked, port) && !isMute(asked, port));

/** An answer is still to come that would prove more than the kernel can. */
const isAwaited = (asked: QuiesceMethod, { kernelProof, down }: Observation): boolean =>
  asked === 'auto' && !kernelProof && down.cookie === 'asked';

/** Drains every port at once. Resolves with what was seen last, whether or not it proves anything. */
export async function drain(
  channel: Channel,
  epoch: number,
  method: QuiesceMethod,
  bounds: DrainBounds,
  { time, signal }: { readonly time: Time; readonly signal: AbortSignal },
): Promise<Observation[]> {
  if (method === 'quiet') {
    await time.pause(bounds.quietMs, signal);
    return channel.observe(epoch);
  }
  await sendMarkers(channel, epoch, method);
  const began = time.now();
  for (;;) {
    signal.throwIfAborted();
    const seen = await channel.observe(epoch);
    const elapsed = time.now() - began;
    const waiting = unreadyOf(method, seen).length > 0 || seen.some((port) => isAwaited(method, port));
    const done = !waiting && elapsed >= bounds.lingerMs;
    if (done || elapsed >= bounds.drainMs) return seen;
    if (elapsed > EAGER_MS) await time.pause(1, signal);
  }
}

async function sendMarkers(channel: Channel, epoch: number, method: QuiesceMethod): Promise<void> {
  if (method === 'cookie') return channel.cookies(epoch);
  await channel.sentinels(epoch);
  if (method !== 'auto') return;
  const weak = (await channel.observe(epoch)).filter(({ kernelProof }) => !kernelProof);
  if (weak.length === 0) return;
  await channel.cookies(
    epoch,
    weak.map(({ port }) => port),
  );
}
