/**
 * Emptying the way up: after all guests have stopped, taking in what they had still sent.
 *
 * `count`: a port is swept when its receive queue is empty and the device has counted exactly as many frames from the
 * guest as we have received. A frame is counted a moment after it is queued, so the sums are given a short time to
 * meet; if they do not, the port is unproven.
 *
 * `cookie`: a hypervisor that has confirmed its stop has returned from every write, and a write returns when the frame
 * lies in our queue. So one look after the stop, until the queue is empty, is enough; no sums are compared.
 *
 * `quiet`: waits until nothing has arrived for `quietMs`. An arrival starts the wait again, for ten times that at
 * most; then the checkpoint fails.
 */
import { StillwireError } from '../errors/index.js';
import type { Channel, Observation } from './channel.js';
import { methodOf, type DrainBounds } from './drain.js';
import type { QuiesceMethod } from './evidence.js';
import type { Time } from './time.js';

const SETTLE_MS = 20;
const QUIET_TRIES = 10;

function isSwept(asked: QuiesceMethod, seen: Observation): boolean {
  const { kind, up } = seen;
  if (kind === 'external') return true;
  const counted = kind !== 'tap' || up.deviceFrames === up.receivedFrames + up.socketDrops;
  return up.queueEmpty && (counted || methodOf(asked, seen) === 'cookie');
}

const arrivals = (seen: readonly Observation[]): number =>
  seen.reduce((sum, { kind, up }) => sum + (kind === 'external' ? 0 : up.receivedFrames), 0);

/**
 * Takes in everything the stopped guests had sent.
 * @throws StillwireError NOT_QUIET when `quiet` waited in vain
 */
export async function sweep(
  channel: Channel,
  epoch: number,
  method: QuiesceMethod,
  bounds: DrainBounds,
  within: { readonly time: Time; readonly signal: AbortSignal },
): Promise<Observation[]> {
  return method === 'quiet'
    ? sweepUntilQuiet(channel, epoch, bounds.quietMs, within)
    : sweepUntilEmpty(channel, epoch, method, within);
}

async function sweepOnce(channel: Channel, epoch: number): Promise<Observation[]> {
  await channel.sweep(epoch);
  return channel.observe(epoch);
}

async function sweepUntilEmpty(
  channel: Channel,
  epoch: number,
  method: QuiesceMethod,
  { time, signal }: { readonly time: Time; readonly signal: AbortSignal },
): Promise<Observation[]> {
  const began = time.now();
  for (;;) {
    signal.throwIfAborted();
    const seen = await sweepOnce(channel, epoch);
    if (seen.every((port) => isSwept(method, port)) || time.now() - began >= SETTLE_MS) return seen;
  }
}

async function sweepUntilQuiet(
  channel: Channel,
  epoch: number,
  quietMs: number,
  { time, signal }: { readonly time: Time; readonly signal: AbortSignal },
): Promise<Observation[]> {
  let before = arrivals(await sweepOnce(channel, epoch));
  for (let tries = 0; tries < QUIET_TRIES; tries++) {
    await time.pause(quietMs, signal);
    const seen = await sweepOnce(channel, epoch);
    const now = arrivals(seen);
    if (now === before) return seen;
    before = now;
  }
  const waited = QUIET_TRIES * quietMs;
  throw new StillwireError('NOT_QUIET', `frames went on arriving for ${waited} ms after the stop`, {
    waited,
  });
}
