/**
 * Real guests under a real DMTCP, under TCP and UDP load. Where dmtcp_launch is not on PATH none of it runs, and the suite
 * `dmtcp` of scripts/test.mjs says so: nothing here counts among the guest tests that have to run.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { flatGuests, isFaultless, namespaces, TrafficLab, verifyImage } from './traffic-lab.js';

let lab: TrafficLab;
afterEach(() => lab.end());

const LOAD = { udpRate: 500, tcpRate: '250k' };

/** g1 and g2, both under DMTCP or only the first. */
function underDmtcp(both: boolean): ReturnType<typeof flatGuests> {
  const { g1, g2 } = flatGuests(2);
  return { g1: { ...g1!, dmtcp: {} }, g2: both ? { ...g2!, dmtcp: {} } : g2! };
}

test.each([
  ['two guests under DMTCP', true],
  ['one under DMTCP and one that is not', false],
])('%s: in place, killed and restarted, twice: nothing lost, doubled or reordered', async (_what, both) => {
  lab = await TrafficLab.boot(underDmtcp(both), LOAD);
  let inFlight = 0;
  for (const round of [1, 2]) {
    await delay(400);
    const report = await lab.checkpoint(`place${round}`);
    expect(report.proven).toBe(true);
    expect((await verifyImage(report.path)).faults).toEqual([]);
    await delay(400);
    const killed = await lab.killAndRestart(`kill${round}`);
    expect(killed.proven).toBe(true);
    inFlight += report.inFlightFrames + killed.inFlightFrames;
  }
  expect(inFlight).toBeGreaterThan(0);
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
});

test('the same image under another name: on TAPs of its own', async () => {
  lab = await TrafficLab.boot(underDmtcp(true), LOAD);
  const report = await lab.checkpoint('gone', { kill: true });
  const other = `${lab.definition.network}-b`;
  await lab.restart(report.path, { as: other });
  expect(namespaces()).toContain(`stillwire-${other}`);
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
});
