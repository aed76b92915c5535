/**
 * The proof by the guests' own answers: nothing that the kernel shows about a port is looked at here, numbers without
 * meaning stand in its place. What is proven so must hold all the same.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { CheckpointReport } from '../../src/checkpoint/index.js';
import type { TestGuest } from '../../src/demo/traffic-network.js';
import { failure, flatGuests, isFaultless, TrafficLab, verifyImage } from './traffic-lab.js';

const BLINDFOLD = 'STILLWIRE_WITHOUT_KERNEL_EVIDENCE';
const LOAD = { udpRate: 500, tcpRate: '250k' };
let lab: TrafficLab | undefined;

beforeAll(() => {
  process.env[BLINDFOLD] = '1';
});
afterAll(() => {
  process.env[BLINDFOLD] = '';
});
afterEach(async () => {
  await lab?.end();
});

/** The image stands on answers at every port, and its judgement follows from what it holds. */
async function isProvenByAnswers({ path, ports }: CheckpointReport): Promise<void> {
  expect(ports.filter(({ proven }) => !proven)).toEqual([]);
  const { manifest, ...image } = await verifyImage(path);
  expect(image).toMatchObject({ faults: [], proven: true });
  expect(manifest!.evidence.map(({ method, down }) => [method, down.cookie])).toEqual(
    ports.map(() => ['cookie', 'answered']),
  );
}

test('by ARP: in place and over kill and restart nothing is lost; count proves nothing', async () => {
  lab = await TrafficLab.boot(flatGuests(2), LOAD);
  let inFlight = 0;
  for (const name of ['c1', 'c2', 'c3']) {
    await delay(400);
    const report = await lab.checkpoint(name, { method: 'cookie', requireProof: true });
    await isProvenByAnswers(report);
    inFlight += report.inFlightFrames;
  }
  const blind = await failure(lab.checkpoint('count', { method: 'count', bounds: { drainMs: 60 } }));
  expect(blind.code).toBe('PORT_UNREADY');
  for (const name of ['k1', 'k2']) {
    await delay(400);
    const report = await lab.killAndRestart(name, { method: name === 'k1' ? 'cookie' : 'auto' });
    await isProvenByAnswers(report);
    inFlight += report.inFlightFrames;
  }
  expect(inFlight).toBeGreaterThan(0);
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
  expect(tally.flows).toBe(4);
});

/** Two guests that speak IPv6 only. */
const guestsWithoutIpv4 = (): Record<string, TestGuest> =>
  Object.fromEntries(
    [1, 2].map((n) => [
      `g${n}`,
      {
        segments: ['lan'],
        parameters: [`sw.if=eth0,fd01::${n}/64`, 'sw.agent=1'],
        peers: { [`g${3 - n}`]: `fd01::${3 - n}` },
      },
    ]),
  );

test('by echo agents, where there is no IPv4: the same', async () => {
  lab = await TrafficLab.boot(guestsWithoutIpv4(), LOAD);
  await delay(400);
  await isProvenByAnswers(await lab.checkpoint('c1', { method: 'cookie' }));
  await delay(400);
  await isProvenByAnswers(await lab.killAndRestart('k1', { method: 'cookie' }));
  await isProvenByAnswers(await lab.checkpoint('c2', { method: 'cookie' })); // who was there is in the image
  await delay(500);
  const { udp, tcp, faults } = await lab.finish(); // which asks for IPv4 too
  expect(udp).toMatchObject({ lost: 0, duplicated: 0, reordered: 0 });
  expect(tcp.realRetransmits).toBe(0);
  expect(faults.filter((fault) => !fault.endsWith('IPv4: no report'))).toEqual([]);
  expect(Math.min(udp.sent, tcp.bytes)).toBeGreaterThan(0);
});
