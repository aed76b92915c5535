/**
 * Emptying the way up: after all guests have stopped, taking in what they had still sent.
 *
 * `count`: a port is swept when its receive queue is empty and the device has counted exactly as many frames from the
 * guest as we have received. A frame is counted a moment after it is queued, so the sums are given a short time to
 * meet; if they do not, the port is unproven.
 *
 * `quiet`: waits until nothing has arrived for `quietMs`. An arrival starts the wait again, for ten times that at
 * most; then the checkpoint fails.
 */
import { StillwireError } from '../errors/index.js';
import type { Channel, Observation } from './channel.js';
import type { DrainBounds } from './drain.js';
import type { QuiesceMethod } from './evidence.js';
import { pause } from './pause.js';

const SETTLE_MS = 20;
const QUIET_TRIES = 10;

const isSwept = ({ kind, up }: Observation): boolean =>
  kind === 'external' ||
  (up.queueEmpty && (kind === 'device' || up.deviceFrames === up.receivedFrames + up.socketDrops));

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
  signal: AbortSignal,
): Promise<Observation[]> {
  return method === 'quiet'
    ? sweepUntilQuiet(channel, epoch, bounds.quietMs, signal)
    : sweepUntilCounted(channel, epoch, signal);
}

async function sweepOnce(channel: Channel, epoch: number): Promise<Observation[]> {
  await channel.sweep(epoch);
  return channel.observe(epoch);
}

async function sweepUntilCounted(
  channel: Channel,
  epoch: number,
  signal: AbortSignal,
): Promise<Observation[]> {
  const began = performance.now();
  for (;;) {
    signal.throwIfAborted();
    const seen = await sweepOnce(channel, epoch);
    if (seen.every(isSwept) || performance.now() - began >= SETTLE_MS) return seen;
  }
}

async function sweepUntilQuiet(
  channel: Channel,
  epoch: number,
  quietMs: number,
  signal: AbortSignal,
): Promise<Observation[]> {
  let before = arrivals(await sweepOnce(channel, epoch));
  for (let tries = 0; tries < QUIET_TRIES; tries++) {
    await pause(quietMs, signal);
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
