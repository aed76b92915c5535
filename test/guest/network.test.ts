/** Real guests under TCP and UDP load: what checkpoint and restart promise, and that the promise can be broken. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { Channel, Observation } from '../../src/quiesce/index.js';
import type { MarkAnswer } from '../../src/switch/index.js';
import { flatGuests, isFaultless, ROUTED_GUESTS, TrafficLab, verifyImage } from './traffic-lab.js';

let lab: TrafficLab;
afterEach(() => lab.end());

const boot = async (...options: Parameters<typeof TrafficLab.boot>): Promise<void> => {
  lab = await TrafficLab.boot(...options);
};
const LOAD = { udpRate: 500, tcpRate: '250k' };

test('in place: nothing is lost, doubled, reordered or really sent again', async () => {
  await boot(flatGuests(2), LOAD);
  let inFlight = 0;
  for (const name of ['c1', 'c2', 'c3', 'c4']) {
    await delay(400);
    const report = await lab.checkpoint(name);
    expect(report.ports.filter(({ proven }) => !proven)).toEqual([]);
    const { faults, proven, inFlightFrames } = await verifyImage(report.path);
    expect({ faults, proven, inFlightFrames }).toEqual({
      faults: [],
      proven: true,
      inFlightFrames: report.inFlightFrames,
    });
    inFlight += report.inFlightFrames;
  }
  expect(inFlight).toBeGreaterThan(0);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
  expect(tally.flows).toBe(4);
});

test('kill and restart: the same, over several generations of guests', async () => {
  await boot(flatGuests(2), LOAD);
  let inFlight = 0;
  for (const name of ['k1', 'k2', 'k3']) {
    await delay(400);
    const report = await lab.killAndRestart(name);
    expect(report.ports.filter(({ proven }) => !proven)).toEqual([]);
    inFlight += report.inFlightFrames;
  }
  expect(inFlight).toBeGreaterThan(0);
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
});

test('three guests on two segments, one of them routing: one cut over all', async () => {
  await boot(ROUTED_GUESTS, LOAD);
  await delay(400);
  expect((await lab.checkpoint('first')).proven).toBe(true);
  await delay(400);
  const second = await lab.killAndRestart('second');
  expect(second.proven).toBe(true);
  expect(second.ports.map(({ port }) => port).sort()).toEqual(['a/nic0', 'b/nic0', 'r/nic0', 'r/nic1']);
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
  expect(tally.flows).toBe(12);
});

/**
 * The switch with its hold left out. All else stays: the guests are stopped, marked, saved, killed and restarted in the
 * same order; the mark takes the frames that lie in the switch's queues at that moment. The evidence is made up, or the
 * restart would refuse the image.
 */
function withoutHold(channel: Channel<MarkAnswer>): Channel<MarkAnswer> {
  const at = (): { at: number } => ({ at: Number(process.hrtime.bigint()) / 1e6 });
  return {
    hold: () => Promise.resolve({ epoch: 0, ...at() }),
    sentinels: () => Promise.resolve(),
    cookies: () => Promise.resolve(),
    recall: () => Promise.resolve(),
    sweep: () => Promise.resolve(),
    observe: () => Promise.resolve(fabricated()),
    async mark() {
      const { epoch } = await channel.hold();
      const marked = await channel.mark(epoch);
      await channel.release(epoch);
      return marked;
    },
    release: () => Promise.resolve(at()),
  };
}

const fabricated = (): Observation[] =>
  ['g1/nic0', 'g2/nic0'].map((port) => ({
    port,
    kind: 'tap',
    kernelProof: true,
    down: {
      sentinelSent: true,
      ringEmpty: true,
      sendQueueBytes: 0,
      droppedSinceHold: 0,
      cookie: 'unasked',
      recalled: 0,
    },
    up: { deviceFrames: 0, receivedFrames: 0, socketDrops: 0, queueEmpty: true, mayHaveOverrun: false },
  }));

test.for([
  { hold: true, loses: false },
  { hold: false, loses: true },
])('with hold $hold, the same load loses frames: $loses', async ({ hold, loses }) => {
  await boot(flatGuests(2), { udpRate: 1000, tcpRate: '250k' });
  for (const name of ['k1', 'k2', 'k3']) {
    await delay(400);
    await lab.killAndRestart(name, hold ? {} : { wrapChannel: withoutHold });
  }
  await delay(500);
  const { udp } = await lab.finish();
  if (loses) expect(udp.lost).toBeGreaterThan(0);
  else expect(udp.lost).toBe(0);
  expect(udp.sent).toBeGreaterThan(1000);
});
