/**
 * Real guests under a real DMTCP, under TCP and UDP load. Where dmtcp_launch is not on PATH none of it runs, and the suite
 * `dmtcp` of scripts/test.mjs says so: nothing here counts among the guest tests that have to run.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import type { CheckpointReport } from '../../src/checkpoint/index.js';
import { flatGuests, isFaultless, namespaces, TrafficLab, verifyImage } from './traffic-lab.js';

let lab: TrafficLab;
afterEach(() => lab.end());

const LOAD = { udpRate: 500, tcpRate: '250k' };

/** How often each network is checkpointed in place and, as often, killed and restarted; or met DMTCP's own checkpoint. */
const ROUNDS = Number(process.env['STILLWIRE_DMTCP_ROUNDS'] ?? 2);

/** So many guests, of which the first ones are under DMTCP. */
function underDmtcp(
  guests: number,
  under: number,
  dmtcp: Readonly<Record<string, unknown>> = {},
): ReturnType<typeof flatGuests> {
  return Object.fromEntries(
    Object.entries(flatGuests(guests)).map(([name, guest], index) => [
      name,
      index < under ? { ...guest, dmtcp } : guest,
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

/**
 * Meets checkpoints that DMTCP begins, ROUNDS of them: `next` is told how to wait for one more. Each has to be taken, since
 * a timer would hide one that failed behind the one after it. The last restarts, and what the guests say is without fault.
 */
async function meetForeign(next: (taken: () => Promise<void>) => Promise<void>): Promise<void> {
  const checkpoints: Promise<CheckpointReport>[] = [];
  const meet = async (): Promise<void> => {
    const checkpoint = lab.checkpoint(`foreign${checkpoints.length}`);
    checkpoints.push(checkpoint);
    await checkpoint;
  };
  lab.live.onForeignCheckpoint = meet;
  let last = '';
  for (let round = 0; round < ROUNDS; round++) {
    await next(async () => {
      const begun = { timeout: 60_000, interval: 20 };
      await vi.waitFor(() => expect(checkpoints.length).toBeGreaterThan(round), begun);
      const { proven, path } = await checkpoints[round]!;
      expect(proven).toBe(true);
      last = path;
    });
  }
  expect((await verifyImage(last)).faults).toEqual([]);
  await lab.close();
  await lab.restart(last);
  lab.live.onForeignCheckpoint = meet;
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
}

const portIn = (file: string): string => readFileSync(file, 'utf8').trim();

test('dmtcp_command begins it: a checkpoint of the network each time, and the last restarts', async () => {
  lab = await TrafficLab.boot(underDmtcp(2, 2), LOAD);
  const port = portIn(join(lab.directory, 'run', 'dmtcp.port'));
  await meetForeign(async (taken) => {
    execFileSync('dmtcp_command', ['--coord-host', '127.0.0.1', '--coord-port', port, '--checkpoint']);
    await taken();
    await delay(400);
  });
});

/** A user's own coordinator with a timer: `dmtcp_command --interval` sets none in DMTCP 3.2.0. */
test("the timer of a user's own coordinator begins it: the same", async () => {
  const directory = mkdtempSync(join(tmpdir(), 'swc-'));
  const portFile = join(directory, 'port');
  const places = ['--port-file', portFile, '--ckptdir', directory, '--tmpdir', directory];
  const coordinator = spawn('dmtcp_coordinator', ['--coord-port', '0', '--interval', '4', ...places], {
    stdio: 'ignore',
  });
  try {
    await vi.waitFor(() => expect(portIn(portFile)).toMatch(/^\d+$/), { timeout: 10_000 });
    const settings = { coordinator: `127.0.0.1:${portIn(portFile)}` };
    lab = await TrafficLab.boot(underDmtcp(2, 2, settings), LOAD);
    await meetForeign((taken) => taken());
    await lab.end(); // before the coordinator, without which its guests end by themselves
  } finally {
    coordinator.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
});
