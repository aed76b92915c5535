/**
 * Real guests under a real DMTCP, under TCP and UDP load. Where dmtcp_launch is not on PATH none of it runs, and the suite
 * `dmtcp` of scripts/test.mjs says so: nothing here counts among the guest tests that have to run.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import type { CheckpointReport } from '../../src/checkpoint/index.js';
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

/** One command to the coordinator that the lab's network has for itself. */
function tellCoordinator(...command: string[]): void {
  const port = readFileSync(join(lab.directory, 'run', 'dmtcp.port'), 'utf8').trim();
  execFileSync('dmtcp_command', ['--coord-host', '127.0.0.1', '--coord-port', port, ...command]);
}

test.each([
  ['dmtcp_command', ['--checkpoint'], true],
  ["the coordinator's timer", ['--interval', '4'], false],
])(
  '%s begins it: a checkpoint of the network each time, and the last restarts',
  async (_who, command, each) => {
    lab = await TrafficLab.boot(underDmtcp(2, 2), LOAD);
    const reports: CheckpointReport[] = [];
    lab.live.onForeignCheckpoint = async () => {
      reports.push(await lab.checkpoint(`foreign${reports.length}`));
    };
    for (let round = 1; round <= ROUNDS; round++) {
      if (each || round === 1) tellCoordinator(...command);
      await vi.waitFor(() => expect(reports).toHaveLength(round), { timeout: 60_000, interval: 20 });
      if (each) await delay(400);
    }
    if (!each) tellCoordinator('--interval', '0');
    expect(reports.every(({ proven }) => proven)).toBe(true);
    const last = reports.at(-1)!;
    expect((await verifyImage(last.path)).faults).toEqual([]);
    await lab.close();
    await lab.restart(last.path);
    await delay(500);
    const tally = await lab.finish();
    expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
  },
);
