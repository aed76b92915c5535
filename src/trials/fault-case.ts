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
import type { FaultBench, Outcome, Started } from './fault-bench.js';
import { nameOf, type FaultCase } from './fault-cases.js';
import { strike } from './fault-deeds.js';

export interface Row {
  readonly name: string;
  /** What was wrong; empty when all is as promised. */
  readonly faults: readonly string[];
  /** How the operation ended: `done`, or the code of its error. */
  readonly outcome: string;
  readonly seconds: number;
}

const REACH_MS = 30_000;
const TALK_MS = 30_000;
const FINISH = { withinMs: 60_000 };
const ANSWER = { withinMs: 20_000 };
/** Image names of a case. */
const IMAGE = 'case';

/** Steps at which all guests stand still: a daemon that dies there loses nothing. */
const STILL: readonly string[] = ['sweep', 'mark', 'save', 'saving', 'resume'].map(
  (step) => `checkpoint.${step}`,
);

export async function playCase(bench: FaultBench, row: FaultCase): Promise<Row> {
  const began = performance.now();
  const faults: string[] = [];
  let outcome = 'not begun';
  try {
    const ended = await operate(bench, row);
    outcome = ended.exit === 0 ? 'done' : (ended.code ?? `exit ${ended.exit}`);
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
  return bench.start(['checkpoint', IMAGE, '--drain', '1000', ...(operation === 'kill' ? ['--kill'] : [])]);
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
    '500',
    '--drain',
    '1000',
    '--',
    'sh',
    '-c',
    `touch ${held}; exec sleep 5`,
  ];
  const started = bench.start(command);
  for (let i = 0; i < 1000 && !existsSync(held); i++) await delay(10);
  if (!existsSync(held)) throw new Error('not reached: the command of the hold did not begin');
  await rm(held);
  await strike(bench, fault, started);
  if (fault === 'client gone' || fault === 'lease over') await delay(700);
  return started.ended;
}

/** The network as it is now. */
interface State {
  readonly networks: readonly {
    readonly held: boolean;
    readonly guests: readonly { name: string; state: string }[];
  }[];
  readonly remains: readonly { readonly advice: string }[];
}

async function look(bench: FaultBench): Promise<State | undefined> {
  const { stdout, code } = await bench.run(['status']);
  if (stdout.trim() !== '') return JSON.parse(stdout) as State;
  if (code === 'DAEMON_UNREACHABLE' || code === 'NETWORK_NOT_FOUND') return undefined;
  throw new Error(`status says nothing: ${code ?? '?'}`);
}

async function judge(bench: FaultBench, row: FaultCase, faults: string[]): Promise<void> {
  await settleDaemon(bench);
  const state = await look(bench);
  const wasDead = state !== undefined && state.remains.length > 0;
  const alive = wasDead ? await recover(bench, state, faults) : state !== undefined;
  if (!alive) await again(bench);
  const living = await untilRunning(bench, faults);
  const lost = row.fault === 'guest killed' || row.fault === 'guest reset' || row.fault === 'TAP deleted';
  if (lost) return; // the other runs; with its only peer gone there is nobody it could talk to
  if (living.length < bench.consoles.length) faults.push(`only ${living.join(', ')} live`);
  else await talk(bench, faults, !wasDead || STILL.includes(row.step));
}

/** A daemon that is ending has ended when this resolves. */
async function settleDaemon(bench: FaultBench): Promise<void> {
  const pid = existsSync(bench.runDirectory) ? bench.daemonPid() : undefined;
  for (let i = 0; i < 200 && pid !== undefined && existsSync(bench.runDirectory); i++) {
    if (!existsSync(`/proc/${pid}`)) return;
    await delay(10);
  }
}

/** After a dead daemon: what `status` advises. */
/** @returns whether the network lives then */
async function recover(bench: FaultBench, { remains }: State, faults: string[]): Promise<boolean> {
  const [remain] = remains;
  if (!/stillwire (up|down)/.test(remain?.advice ?? ''))
    faults.push(`status advises nothing: ${remain?.advice ?? ''}`);
  const { exit, code, stderr } = await bench.run(['up', '--detach']);
  if (exit === 0) return true;
  if (code === 'CHECKPOINT_COMPLETE') return false;
  if (code !== 'NETWORK_STALE') faults.push(`up: ${stderr}`);
  await bench.succeed(['down']);
  return false;
}

/** The network is gone: it comes back from the image of the case, or from the base. */
async function again(bench: FaultBench): Promise<void> {
  const images = await bench.images();
  await bench.forget();
  await bench.succeed(['restart', images.includes(IMAGE) ? IMAGE : 'base']);
}

/** Waits until every guest that lives runs and nothing is held; their names. */
async function untilRunning(bench: FaultBench, faults: string[]): Promise<string[]> {
  const deadline = performance.now() + TALK_MS;
  for (;;) {
    const network = (await look(bench))?.networks[0];
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
    for (const name of await bench.images()) {
      const { exit, stderr } = await bench.run(['verify', name]);
      if (exit !== 0) faults.push(`${name} is listed and does not verify: ${stderr}`);
    }
    await bench.run(['down']);
    await bench.untilGone();
    const left = [...bench.leftovers(), ...bench.drafts()];
    if (left.length > 0) faults.push(`left behind: ${left.join(', ')}`);
    for (const name of await bench.images()) if (name === IMAGE) await bench.succeed(['remove', name]);
  } catch (error) {
    faults.push(error instanceof Error ? error.message : String(error));
  }
}
