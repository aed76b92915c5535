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

/** How often each network is checkpointed in place and, as often, killed and restarted; more of it is a soak. */
const ROUNDS = Number(process.env['STILLWIRE_DMTCP_ROUNDS'] ?? 2);

/** So many guests, of which the first ones are under DMTCP. */
function underDmtcp(guests: number, under: number): ReturnType<typeof flatGuests> {
  return Object.fromEntries(
    Object.entries(flatGuests(guests)).map(([name, guest], index) => [
      name,
      index < under ? { ...guest, dmtcp: {} } : guest,
    ]),
  );
}

test.each([
  ['two guests under DMTCP', 2, 2],
  ['four guests under DMTCP', 4, 4],
  ['one under DMTCP and one that is not', 2, 1],
])('%s: in place, killed and restarted: nothing lost, doubled or reordered', async (_what, guests, under) => {
  lab = await TrafficLab.boot(underDmtcp(guests, under), LOAD);
  let inFlight = 0;
  for (let round = 1; round <= ROUNDS; round++) {
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
  lab = await TrafficLab.boot(underDmtcp(2, 2), LOAD);
  const report = await lab.checkpoint('gone', { kill: true });
  const other = `${lab.definition.network}-b`;
  await lab.restart(report.path, { as: other });
  expect(namespaces()).toContain(`stillwire-${other}`);
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
});
