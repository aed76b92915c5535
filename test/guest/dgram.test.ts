/** Guests whose NICs are unix datagram pairs, alone and beside guests on TAPs, under the same load and the same promises. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { TestGuest } from '../../src/demo/traffic-network.js';
import { flatGuests, isFaultless, namespaces, TrafficLab, verifyImage } from './traffic-lab.js';

let lab: TrafficLab;
afterEach(() => lab.end());

const LOAD = { udpRate: 500, tcpRate: '250k' };

/** Guests of which the named ones are on datagram pairs. */
function guests(count: number, ...dgram: string[]): Record<string, TestGuest> {
  return Object.fromEntries(
    Object.entries(flatGuests(count)).map(([name, guest]) => [
      name,
      dgram.includes(name) ? { ...guest, transport: 'dgram' as const } : guest,
    ]),
  );
}

/** What is asked for; how each port is judged; whether that proves it. */
const METHODS = [
  ['auto', 'count', true],
  ['count', 'count', true],
  ['cookie', 'cookie', true],
  ['quiet', 'quiet', false],
] as const;

test('in place, by every method: nothing lost, doubled or reordered; no namespace', async () => {
  lab = await TrafficLab.boot(guests(2, 'g1', 'g2'), LOAD);
  expect(namespaces()).not.toContain(lab.definition.network);
  let inFlight = 0;
  for (const [asked, used, proves] of METHODS) {
    await delay(400);
    const report = await lab.checkpoint(`by-${asked}`, { method: asked });
    const seen = report.ports.map(({ port, proven, evidence: { kind, method } }) => [
      port,
      kind,
      method,
      proven,
    ]);
    expect(seen).toEqual([
      ['g1/nic0', 'dgram', used, proves],
      ['g2/nic0', 'dgram', used, proves],
    ]);
    expect(await verifyImage(report.path)).toMatchObject({ faults: [], proven: proves });
    inFlight += report.inFlightFrames;
  }
  expect(inFlight).toBeGreaterThan(0);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
  expect(tally.flows).toBe(4);
});

test('kill and restart: the same, over several generations of guests', async () => {
  lab = await TrafficLab.boot(guests(2, 'g1', 'g2'), LOAD);
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

test('a TAP and a datagram pair on one segment: super-frames are cut on the way, in place and over a restart', async () => {
  lab = await TrafficLab.boot(guests(2, 'g2'), { udpRate: 500, tcpRate: '2M' });
  for (const [name, kill] of [
    ['m1', false],
    ['m2', true],
    ['m3', false],
  ] as const) {
    await delay(400);
    const report = kill ? await lab.killAndRestart(name) : await lab.checkpoint(name);
    expect(report.ports.filter(({ proven }) => !proven)).toEqual([]);
  }
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
  const { ports } = await lab.live.network.ledger();
  const [tap, dgram] = ['g1/nic0', 'g2/nic0'].map((id) => ports.find(({ port }) => port === id)!);
  // Cut up, some frames made more than one copy; none came back longer than it could be.
  expect(tap!.ingress.copies).toBeGreaterThan(tap!.ingress.switched);
  expect(dgram!.egress.dropped).toMatchObject({ oversize: 0, offload: 0 });

  // A guest that has ended has nothing to prove, whatever its port is: what is left is saved and restarted all the same.
  await lab.live.guests.get('g2')!.kill();
  const left = await lab.checkpoint('without-g2', { kill: true });
  expect(left.ports.map(({ port, proven }) => [port, proven])).toEqual([['g1/nic0', true]]);
  expect(await verifyImage(left.path)).toMatchObject({ faults: [], proven: true });
  await lab.restart(left.path);
  await lab.live.guests.get('g1')!.kill();
  expect((await lab.checkpoint('nobody')).ports).toEqual([]);
});
