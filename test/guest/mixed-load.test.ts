/** Every kind of traffic at once, over a checkpoint in place and a kill with restart. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { fileURLToPath } from 'node:url';
import { PATIENCE, TrafficLab } from './traffic-lab.js';

const build = process.env['STILLWIRE_DIST'] ?? fileURLToPath(new URL('../../dist', import.meta.url));
const load = async (path: string): Promise<unknown> => import(/* @vite-ignore */ `${build}/demo/${path}`);
const { mixedGuests, MIXED_LOAD, PARTS } = (await load(
  'mixed-load.js',
)) as typeof import('../../src/demo/mixed-load.js');
const { tallyMixed } = (await load('mixed-tally.js')) as typeof import('../../src/demo/mixed-tally.js');
const { finishTraffic } = (await load('result.js')) as typeof import('../../src/demo/result.js');

let lab: TrafficLab;
afterEach(() => lab.end());

test('fragments, jumbo frames, a group, tagged streams, short connections, forgotten neighbours: all zeros', async () => {
  lab = await TrafficLab.boot(mixedGuests(2), MIXED_LOAD);
  await delay(2000);
  expect((await lab.checkpoint('first', { method: 'count' })).proven).toBe(true);
  await delay(2000);
  expect((await lab.killAndRestart('second', { method: 'count' })).proven).toBe(true);
  await delay(3000); // a restarted QEMU has forgotten the guest's VLANs, if it was ever told them
  const tally = tallyMixed(await finishTraffic(lab.senders, PATIENCE), PARTS);
  expect(tally.faults, JSON.stringify(tally)).toEqual([]);
  expect(tally.lanes['vlan']!.received).toBeGreaterThan(0);
});
