/**
 * One row of the matrix: a network from the base, an operation, a fault at a step of it, and then what is promised:
 *
 *   reached    the daemon stood at the step; a row that never got there proves nothing and is red
 *   alive      guests that can live do live, run, and talk to one another again; after a dead daemon that takes what
 *              `status` says is to be done: `up`, or for a kill that was complete, or guests half loaded, a restart
 *   whole      where nobody ran while nobody listened: not a frame lost, doubled or reordered in the end
 *   images     whatever is listed verifies
 *   clean      after `down` nothing is left, no draft either
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { askStatus, finishTraffic, type GuestResult } from '../demo/result.js';
import { isFaultless, tallyUp } from '../demo/tally.js';
import { BASE, type FaultBench, type Outcome, type Started } from './fault-bench.js';
import { nameOf, OUTCOMES, type FaultCase } from './fault-cases.js';
import { strike } from './fault-deeds.js';

export interface Row {
  readonly name: string;
  /** What was wrong; empty when all is as promised. */
  readonly faults: readonly string[];
  /** How the operation ended: `done`, or the code of its error. */
  readonly outcome: string;
  readonly seconds: number;
}

/** Of a hold; its drain has to end in it, however busy the machine is. */
const LEASE_MS = 2_500;
const REACH_MS = 120_000;
/** A TCP whose peer was silent asks again after at most 120 s (TCP_RTO_MAX, Linux include/net/tcp.h), and twice that late
 * on a machine that starves its guest. Rows that talk end at once; only one that does not waits so long. */
const TALK_MS = 240_000;
const FINISH = { withinMs: 180_000 };
const ANSWER = { withinMs: 60_000 };
/** Image names of a case. */
const IMAGE = 'case';

/** Steps at which all guests stand still: a daemon that dies there loses nothing. */
const STILL: readonly string[] = ['sweep', 'mark', 'save', 'saving', 'resume'].map(
  (step) => `checkpoint.${step}`,
);

/** Steps at which the image of a checkpoint is whole: with kill, its guests' end is finished. */
const COMPLETE: readonly string[] = ['rename', 'committed', 'kill'].map((step) => `checkpoint.${step}`);

export async function playCase(bench: FaultBench, row: FaultCase): Promise<Row> {
  const began = performance.now();
  const faults: string[] = [];
  let outcome = 'not begun';
  try {
    const ended = await operate(bench, row);
    outcome = ended.exit === 0 ? 'done' : (ended.code ?? `exit ${ended.exit}`);
    if (!OUTCOMES[row.fault].includes(outcome)) faults.push(`must not end so: ${outcome}: ${ended.stderr}`);
    await judge(bench, row, faults);
  } catch (error) {
    faults.push(error instanceof Error ? error.message : String(error));
  }
  await cleanUp(bench, faults);
  return { name: nameOf(row), faults, outcome, seconds: (performance.now() - began) / 1000 };
}

/** Runs the operation into its fault. @throws when the step is not reached */
async function operate(bench: FaultBench, row: FaultCase): Promise<Outcome> {
  const { operation, step, fault } = row;
  if (operation === 'hold') return holdInto(bench, row);
  const byItself = fault === 'step fails';
  const failAt = `${step}:${byItself ? 'error' : 'wait'}`;
  const started = await start(bench, operation, failAt);
  if (byItself) {
    const ended = await started.ended;
    if (!ended.stderr.includes(`fault injected at ${step}`)) throw new Error(`not reached: ${ended.stderr}`);
    return ended;
  }
  await untilReached(bench, started);
  const after = await strike(bench, fault, started);
  await rm(bench.reached, { force: true });
  await after();
  return started.ended;
}

async function start(bench: FaultBench, operation: FaultCase['operation'], failAt: string): Promise<Started> {
  if (operation === 'restart') {
    await bench.forget();
    return bench.startRestart(failAt);
  }
  if (operation === 'attach') {
    await bench.begin();
    await delay(200);
    process.kill(bench.daemonPid(), 'SIGKILL');
    return bench.start(['up', '--detach'], failAt);
  }
  await bench.begin(failAt);
  await delay(200);
  return bench.start(['checkpoint', IMAGE, '--drain', '5000', ...(operation === 'kill' ? ['--kill'] : [])]);
}

async function untilReached(bench: FaultBench, { child }: Started): Promise<void> {
  const deadline = performance.now() + REACH_MS;
  while (!existsSync(bench.reached)) {
    if (performance.now() > deadline) throw new Error('not reached in time');
    if (child.exitCode !== null) throw new Error(`not reached: the command ended with ${child.exitCode}`);
    await delay(5);
  }
}

/** A hold around a command that would last; the lease is short. */
async function holdInto(bench: FaultBench, { fault }: FaultCase): Promise<Outcome> {
  await bench.begin();
  const held = `${bench.directory}/held`;
  const command = [
    'hold',
    '--lease',
    `${LEASE_MS}ms`,
    '--drain',
    '5000',
    '--',
    'sh',
    '-c',
    `touch ${held}; exec sleep 5`,
  ];
  const started = bench.start(command);
  for (let i = 0; i < 1000 && !existsSync(held); i++) await delay(10);
  if (!existsSync(held)) throw new Error('not reached: the command of the hold did not begin');
  await rm(held);
  const goOn = await strike(bench, fault, started);
  if (fault === 'client gone' || fault === 'lease over') await delay(LEASE_MS + 500);
  await goOn();
  return started.ended;
}

async function judge(bench: FaultBench, row: FaultCase, faults: string[]): Promise<void> {
  if (row.fault === 'daemon killed' || row.fault === 'SIGTERM') await settleDaemon(bench);
  if (row.fault === 'client gone') await settleCheckpoint(bench, row);
  const { running, stale } = await bench.look();
  const alive = stale === undefined ? running !== undefined : await recover(bench, row, stale.advice, faults);
  if (!alive) await again(bench);
  const living = await untilRunning(bench, faults);
  const lost = row.fault === 'guest killed' || row.fault === 'guest reset' || row.fault === 'TAP deleted';
  if (lost) return; // the other runs; with its only peer gone there is nobody it could talk to
  if (living.length < bench.consoles.length) faults.push(`only ${living.join(', ')} live`);
  else await talk(bench, faults, isWhole(row, stale !== undefined));
}

/** A daemon that is ending has ended when this resolves. */
async function settleDaemon(bench: FaultBench): Promise<void> {
  const pid = existsSync(bench.runDirectory) ? bench.daemonPid() : undefined;
  for (let i = 0; i < 200 && pid !== undefined && existsSync(bench.runDirectory); i++) {
    if (!existsSync(`/proc/${pid}`)) return;
    await delay(10);
  }
}

/** The daemon goes on without the client; a checkpoint that it began has ended, either way, when this resolves. */
async function settleCheckpoint(bench: FaultBench, { operation }: FaultCase): Promise<void> {
  const ended = async (): Promise<boolean> => {
    if (bench.drafts().length > 0) return false;
    const completed = operation === 'kill' && (await bench.images()).length > 0;
    return !completed || (await bench.look()).running === undefined;
  };
  for (let i = 0; i < 1000 && !(await ended()); i++) await delay(20);
}

/** Whether nothing may be lost: nobody ran while no daemon did. */
const isWhole = ({ operation, step }: FaultCase, daemonDied: boolean): boolean =>
  operation !== 'attach' && (!daemonDied || STILL.includes(step));

/** After a dead daemon: what `status` advises. @returns whether the network lives then */
async function recover(
  bench: FaultBench,
  { operation, step }: FaultCase,
  advice: string,
  faults: string[],
): Promise<boolean> {
  if (!/stillwire (up|down)/.test(advice)) faults.push(`status advises nothing: ${advice}`);
  const { exit, code, stderr } = await bench.run(['up', '--detach']);
  if (exit === 0) return true;
  if (code === 'CHECKPOINT_COMPLETE' && operation === 'kill' && COMPLETE.includes(step)) return false;
  if (code !== 'NETWORK_STALE' || operation !== 'restart') faults.push(`up: ${stderr}`); // half loaded: cannot live
  await bench.succeed(['down']);
  return false;
}

/** The network is gone: it comes back from the image of the case, or from the base. */
async function again(bench: FaultBench): Promise<void> {
  const images = await bench.images();
  await bench.forget();
  await bench.succeed(['restart', images.find(({ fault }) => fault === undefined)?.name ?? BASE]);
}

/** Waits until every guest that lives runs and nothing is held; their names. */
async function untilRunning(bench: FaultBench, faults: string[]): Promise<string[]> {
  const deadline = performance.now() + TALK_MS;
  for (;;) {
    const { running: network } = await bench.look();
    const living = (network?.guests ?? []).filter(({ state }) => state !== 'ended');
    const stuck = living.filter(({ state }) => state !== 'running');
    if (network !== undefined && !network.held && stuck.length === 0) return living.map(({ name }) => name);
    if (performance.now() > deadline) {
      const words = stuck.map(({ name, state }) => `${name} is ${state}`).join(', ');
      faults.push(`nobody must be stuck: ${network?.held === true ? 'held; ' : ''}${words}`);
      return living.map(({ name }) => name);
    }
    await delay(50);
  }
}

const received = (results: readonly GuestResult[]): number[] =>
  results.flatMap(({ udp, tcp }) => [...udp.map((flow) => flow.received), ...tcp.map((flow) => flow.bytes)]);

/** Every flow goes on; and, where `whole`, nothing of any was lost from the beginning on. */
async function talk(bench: FaultBench, faults: string[], whole: boolean): Promise<void> {
  const before = received(await askStatus(bench.consoles, ANSWER));
  const deadline = performance.now() + TALK_MS;
  for (;;) {
    const now = received(await askStatus(bench.consoles, ANSWER));
    if (now.every((figure, i) => figure > before[i]!)) break;
    if (performance.now() > deadline) {
      faults.push(`they do not talk again: ${before.join(' ')} then ${now.join(' ')}`);
      return;
    }
    await delay(100);
  }
  if (!whole) return;
  const tally = tallyUp(await finishTraffic(bench.consoles, FINISH));
  if (!isFaultless(tally)) faults.push(`not whole: ${JSON.stringify(tally)}`);
}

/** Verifies what is stored, ends what runs, and looks at what is left. */
async function cleanUp(bench: FaultBench, faults: string[]): Promise<void> {
  try {
    await bench.run(['down']);
    await bench.untilGone();
    const left = [...bench.leftovers(), ...bench.drafts()];
    if (left.length > 0) faults.push(`left behind: ${left.join(', ')}`);
    faults.push(...(await bench.auditImages()));
  } catch (error) {
    faults.push(error instanceof Error ? error.message : String(error));
  }
}
