/**
 * The daemon is killed with SIGKILL, idle and at every step that matters, and `up` takes up what it left. Real guests
 * send sequenced UDP and TCP to one another. Against what running guests send while there is no daemon nothing is
 * claimed; what is shown is that TCP carries on whole, that no datagram comes twice or out of order or damaged, and
 * that nothing that was held is lost.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Job, StaleStatus, UpReport } from '../../src/daemon/index.js';
import type { GuestConsole } from '../../src/demo/guest-console.js';
import { flatGuests, failure, namespaces, PATIENCE } from './traffic-lab.js';

const dist = process.env['STILLWIRE_DIST'] ?? fileURLToPath(new URL('../../dist', import.meta.url));
const load = async (path: string): Promise<unknown> => import(/* @vite-ignore */ `${dist}/${path}`);
const daemon = (await load('daemon/index.js')) as typeof import('../../src/daemon/index.js');
const { testNetwork } = (await load(
  'demo/traffic-network.js',
)) as typeof import('../../src/demo/traffic-network.js');
const consoles = (await load('demo/guest-console.js')) as typeof import('../../src/demo/guest-console.js');
const results = (await load('demo/result.js')) as typeof import('../../src/demo/result.js');
const { recoverHeld } = (await load(
  'hold-queue/recover.js',
)) as typeof import('../../src/hold-queue/recover.js');
const { QmpClient } = (await load('guest/index.js')) as typeof import('../../src/guest/index.js');

const NETWORK = `swtc${process.pid}`;
const GUESTS = ['g1', 'g2'];
const execute = promisify(execFile);
let scratch: string;
let up: Extract<Job, { kind: 'up' }>;
let talkers: GuestConsole[];

const run = (): string => join(scratch, 'run');
const inRun = (name: string): string => join(run(), NETWORK, name);
const checkpoints = (): string => join(scratch, 'state', NETWORK);
const state = () =>
  JSON.parse(readFileSync(inRun('state.json'), 'utf8')) as {
    daemon: { pid: number };
    guests: { name: string; pid: number }[];
  };

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 60_000;
  while (!(await what())) {
    if (Date.now() > end) throw new Error('it did not come to pass');
    await delay(10);
  }
}

const isStale = async (): Promise<boolean> =>
  (await daemon.runningNetworks()).some((each) => each.network === NETWORK && each.state === 'stale');

/** Launches a daemon with faults in it. */
async function launch<J extends Job>(job: J, faults = '') {
  process.env['STILLWIRE_FAIL_AT'] = faults;
  try {
    return await daemon.launchDaemon(job);
  } finally {
    delete process.env['STILLWIRE_FAIL_AT'];
  }
}

/** The product's own command line, as a user types it. */
async function stillwire(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return execute(process.execPath, [join(dist, 'cli/main.js'), ...args]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: unknown) => error as { code: number; stdout: string; stderr: string },
  );
}

async function boot(faults: string): Promise<void> {
  await launch(up, faults);
  await Promise.all(talkers.map((each) => each.said('stillwire-guest', PATIENCE)));
  await results.trafficRuns(talkers, PATIENCE);
}

async function checkpoint(options: { kill?: boolean } = {}) {
  const client = await daemon.DaemonClient.connect({ network: NETWORK });
  return client.checkpoint({ name: 'c', method: 'count', bounds: { drainMs: 1000 }, ...options });
}

/** A checkpoint in which the daemon dies at a step of its own. */
async function dieInCheckpoint(options: { kill?: boolean } = {}): Promise<void> {
  const error = await failure(checkpoint(options));
  expect(error.code).toBe('DAEMON_UNREACHABLE');
  await until(isStale);
}

/** Everything the guests sent since they began and all that came of it. */
async function finish() {
  const reports = await results.finishTraffic(talkers, PATIENCE);
  const udp = reports.flatMap((each) => each.udp);
  const tcp = reports.flatMap((each) => each.tcp);
  const sum = (of: (flow: (typeof udp)[number]) => number): number =>
    udp.reduce((total, flow) => total + of(flow), 0);
  return {
    complete: reports.every((each) => each.complete),
    lost: sum(({ sent, received }) => (sent ?? Number.NaN) - received),
    received: sum(({ received }) => received),
    wrong: sum(({ duplicated, reordered, damaged }) => duplicated + reordered + damaged),
    intact: tcp.length > 0 && tcp.every(({ intact }) => intact === true),
  };
}

/** After any crash: streams whole, nothing twice, nothing out of order. */
async function expectFaultless({ lost }: { lost?: number } = {}): Promise<void> {
  const account = await finish();
  expect(account).toMatchObject({ complete: true, wrong: 0, intact: true });
  expect(account.received).toBeGreaterThan(0);
  if (lost !== undefined) expect(account.lost).toBe(lost);
}

function expectNothing(): void {
  expect(existsSync(run()) ? readdirSync(run()) : []).toEqual([]);
  expect(namespaces()).not.toContain(NETWORK);
  expect(existsSync(checkpoints()) ? readdirSync(checkpoints()).filter((name) => name !== 'c') : []).toEqual(
    [],
  );
}

beforeAll(() => {
  process.env['STILLWIRE_LOG'] = 'info';
});
afterAll(() => {
  delete process.env['STILLWIRE_RUN'];
  delete process.env['STILLWIRE_STATE'];
});
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'swtc-'));
  process.env['STILLWIRE_RUN'] = run();
  process.env['STILLWIRE_STATE'] = join(scratch, 'state');
  const definition = testNetwork(NETWORK, scratch, flatGuests(2), { udpRate: 300, tcpRate: '150k' });
  up = { kind: 'up', definition };
  talkers = GUESTS.map((guest) => new consoles.GuestConsole(guest, scratch));
});
afterEach(async () => {
  for (const { network, state: how } of await daemon.runningNetworks()) {
    if (how === 'stale') await daemon.removeStale(network);
    else await (await daemon.DaemonClient.connect({ network })).down();
  }
  await rm(scratch, { recursive: true, force: true });
});

const reattached = (report: UpReport) => report.reattached!;
const guestOf = ({ guests }: StaleStatus, name: string) => guests.find((each) => each.name === name)!;

test('killed idle: the guests run on, and their traffic when the network is up again', async () => {
  await boot('');
  const pids = state().guests.map(({ pid }) => pid);
  process.kill(state().daemon.pid, 'SIGKILL');
  await until(isStale);

  const told = await stillwire('status', '-n', NETWORK);
  expect(told.code).toBe(3);
  expect(told.stdout).toMatch(new RegExp(`network ${NETWORK}: its daemon died\n`));
  expect(told.stdout).toMatch(/g1 +running +\d+/);
  expect(told.stdout).toContain('stillwire up FILE');

  const other = { ...up.definition.guests['g1']!, memory: 256 };
  const changed = { ...up.definition, guests: { ...up.definition.guests, g1: other } };
  const refused = await failure(launch({ kind: 'up', definition: changed }));
  expect(refused).toMatchObject({ code: 'NETWORK_STALE' });
  expect(refused.message).toContain('guests.g1.memory was 128, is 256');

  const report = await launch(up);
  expect(reattached(report)).toMatchObject({ resumed: [], ended: [], removed: [], deliveredFrames: 0 });
  expect(report.guests.map(({ pid }) => pid).sort()).toEqual(pids.sort());
  // Whole again: a checkpoint of it is proven, and what comes of that too.
  await delay(500);
  expect(await checkpoint()).toMatchObject({ proven: true });
  await expectFaultless();
  await (await daemon.DaemonClient.connect({ network: NETWORK })).down();
  expectNothing();
});

describe('killed in the middle of a checkpoint', () => {
  test('after the stop: told as paused, resumed, what was held delivered; again and again if need be', async () => {
    await boot('checkpoint.mark:kill');
    await dieInCheckpoint();
    const status = await daemon.staleStatus(NETWORK);
    expect(status.during).toBe('checkpoint c, with guests stopped');
    for (const guest of GUESTS)
      expect(guestOf(status, guest)).toMatchObject({ state: 'paused', toResume: true });
    expect(status.advice).toContain('and resumes g1, g2');
    const held = (await recoverHeld(inRun('held'))).length;

    // The one that takes it up is killed at each of its own steps.
    for (const step of ['guests', 'open', 'restore', 'resume']) {
      const error = await failure(launch(up, `attach.${step}:kill`));
      expect(error.message).toContain('SIGKILL');
      expect((await recoverHeld(inRun('held'))).length).toBe(held);
    }
    await failure(launch(up, 'attach.release:kill'));
    const after = await daemon.staleStatus(NETWORK);
    for (const guest of GUESTS) expect(guestOf(after, guest)).toMatchObject({ state: 'running' });

    const report = reattached(await launch(up));
    expect(report.deliveredFrames).toBeGreaterThanOrEqual(held);
    expect(report.removed).toHaveLength(1);
    await expectFaultless();
    await (await daemon.DaemonClient.connect({ network: NETWORK })).down();
    expectNothing();
  });

  test('while guests are stopped nothing is lost at all: not a datagram', async () => {
    await boot('checkpoint.save:kill');
    await dieInCheckpoint();
    const report = reattached(await launch(up));
    expect(report).toMatchObject({ resumed: GUESTS, ended: [] });
    await expectFaultless({ lost: 0 });
  });

  test('during the save: the migration is cancelled, the half image removed, the guests go on', async () => {
    await boot('checkpoint.saving:kill');
    await dieInCheckpoint();
    expect(readdirSync(checkpoints()).filter((name) => name.includes('partial'))).toHaveLength(1);
    const report = reattached(await launch(up));
    expect(report).toMatchObject({ resumed: GUESTS, ended: [] });
    expect(report.removed).toHaveLength(1);
    expect(readdirSync(checkpoints())).toEqual([]);
    expect(await checkpoint()).toMatchObject({ proven: true }); // they can be saved again
    await expectFaultless({ lost: 0 });
  });

  test('after the resume, while the image is written: everybody runs, the half image is removed', async () => {
    await boot('checkpoint.rename:kill');
    await dieInCheckpoint();
    const status = await daemon.staleStatus(NETWORK);
    expect(status.during).toMatch(/all guests running/);
    const report = reattached(await launch(up));
    expect(report).toMatchObject({ resumed: [], ended: [] });
    expect(report.removed).toHaveLength(1);
    expect(report.checkpoint).toBeUndefined();
    await expectFaultless();
  });

  test('a guest that its user had paused stays paused; one that died is told', async () => {
    await boot('checkpoint.mark:kill');
    const client = await daemon.DaemonClient.connect({ network: NETWORK });
    await failure(client.checkpoint({ name: 'c', method: 'count', bounds: { drainMs: 1000 } }));
    await until(isStale);
    const qmp = await QmpClient.connect(inRun('g1.qmp'), { guest: 'g1', timeoutMs: 10_000 });
    await qmp.execute('quit').catch(() => undefined);
    qmp.close();
    const journal = JSON.parse(readFileSync(inRun('journal.json'), 'utf8')) as {
      entry: { resume: string[] };
    };
    journal.entry.resume = ['g1']; // as if g2 had not run before
    writeFileSync(inRun('journal.json'), JSON.stringify(journal));
    await until(async () => guestOf(await daemon.staleStatus(NETWORK), 'g1').state === 'ended');
    const report = await launch(up);
    expect(reattached(report)).toMatchObject({ resumed: [], ended: ['g1'] });
    expect(report.guests).toMatchObject([
      { name: 'g1', state: 'ended' },
      { name: 'g2', state: 'paused' },
    ]);
    await (await daemon.DaemonClient.connect({ network: NETWORK })).down();
    expectNothing();
  });
});

describe('killed in a checkpoint with --kill', () => {
  test('once its image is complete: up finishes it and says so; the checkpoint restarts', async () => {
    await boot('checkpoint.kill:kill');
    await dieInCheckpoint({ kill: true });
    expect((await daemon.staleStatus(NETWORK)).advice).toContain('stillwire restart c');
    const error = await failure(launch(up));
    expect(error).toMatchObject({ code: 'CHECKPOINT_COMPLETE' });
    expectNothing();
    await launch({ kind: 'restart', directory: join(checkpoints(), 'c') });
    await expectFaultless({ lost: 0 });
  });

  test('before: nobody has been ended, everybody goes on', async () => {
    await boot('checkpoint.rename:kill');
    await dieInCheckpoint({ kill: true });
    expect(reattached(await launch(up))).toMatchObject({ resumed: GUESTS });
    await expectFaultless({ lost: 0 });
  });
});

describe('killed in a restart', () => {
  test('while guests load nothing of it can live; from the first resume on it is taken up', async () => {
    await boot('');
    const { path } = await checkpoint({ kill: true });
    const restart = { kind: 'restart', directory: path } as const;
    await failure(launch(restart, 'restart.load:kill'));
    expect((await failure(launch(up))).message).toContain('stillwire restart c');
    expect((await failure(launch(restart))).code).toBe('NETWORK_STALE');
    await daemon.removeStale(NETWORK);
    expectNothing();

    await failure(launch(restart, 'restart.resume:kill'));
    expect((await daemon.staleStatus(NETWORK)).during).toMatch(/restart from c, with guests being resumed/);
    expect(reattached(await launch(up))).toMatchObject({ resumed: GUESTS });
    await expectFaultless({ lost: 0 });
    rmSync(path, { recursive: true });
  });
});
