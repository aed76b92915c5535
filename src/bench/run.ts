/** A run of the benchmark: one trial after the other, each with all its rounds. */
import { BusyTrial } from './busy-trial.js';
import type { CarrierKind } from './carrier.js';
import { CarriersTrial } from './carriers-trial.js';
import { StillwireError } from '../errors/index.js';
import { Ground } from './ground.js';
import { GuestsTrial } from './guests-trial.js';
import { HoldTrial } from './hold-trial.js';
import { describeMachine } from './machine.js';
import { stillwirePacket, stillwireTap } from './peers/stillwire.js';
import { PEERS } from './plan.js';
import { PortsTrial } from './ports-trial.js';
import type { RunDocument } from './report.js';
import type { MeasuredRow } from './row.js';
import { SavingTrial } from './saving/saving-trial.js';
import { Stage, type Settings, type Trial } from './stage.js';

/** What is measured when nothing is chosen: the data plane. */
export const PLANE = ['carriers', 'ports', 'hold', 'busy', 'guests'] as const;
export const TRIALS = [...PLANE, 'saving'] as const;
export type TrialName = (typeof TRIALS)[number];

const PAIRS_OF_32 = 16;

export interface RunOptions extends Settings {
  readonly only: readonly TrialName[];
  /** The engine that is asked for; absent: whichever the switch chooses. */
  readonly engine?: string;
  /** Programs of a DMTCP built with forked checkpointing. */
  readonly forkedDmtcp?: string;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/**
 * Measures. Nothing of it is left when it resolves or rejects.
 * @throws StillwireError when something broke
 */
export async function runBench(options: RunOptions): Promise<RunDocument> {
  const ground = await Ground.open(options.signal);
  try {
    return await measureAll(ground, options);
  } catch (error) {
    throw options.signal.aborted ? options.signal.reason : error;
  } finally {
    await ground.close();
  }
}

type Missing = RunDocument['missing'][number];

async function measureAll(ground: Ground, options: RunOptions): Promise<RunDocument> {
  const { only, onProgress, rounds } = options;
  const missing: Missing[] = [];
  const peers = await findPeers(missing);
  const machine = await describeMachine(ground, peers);
  onProgress(`the machine is ${machine.idlePercent} % idle`);
  const tap = stillwireTap();
  const saving = new SavingTrial(options.forkedDmtcp, onProgress);
  const trials: Trial[] = [
    new CarriersTrial([tap, stillwirePacket(), ...peers]),
    new PortsTrial(stillwireTap(PAIRS_OF_32), tap),
    new HoldTrial(tap),
    new BusyTrial(tap),
    new GuestsTrial(),
    saving,
  ];
  const stage = await Stage.open(ground, options);
  await stage.carrier(tap);
  const { engine } = tap.process();
  demandEngine(options.engine, engine);
  const rows: MeasuredRow[] = [];
  let saved: RunDocument['saving'];
  for (const trial of trials.filter(({ name }) => (only as readonly string[]).includes(name))) {
    const why = await trial.missing();
    if (why !== undefined) missing.push({ name: trial.name, why });
    else rows.push(...(await play(trial, stage, rounds, onProgress)));
    if (trial === saving && why === undefined) saved = saving.document();
  }
  const date = new Date().toISOString().slice(0, 10);
  const run = { date, machine, engine, rounds, ms: options.ms, rows, missing };
  return saved === undefined ? run : { ...run, saving: saved };
}

async function findPeers(missing: Missing[]): Promise<CarrierKind[]> {
  const found: CarrierKind[] = [];
  for (const peer of PEERS) {
    const why = await peer.missing();
    if (why === undefined) found.push(peer);
    else missing.push({ name: peer.name, why });
  }
  return found;
}

/** A run that is called one engine's must not be another's. */
function demandEngine(asked: string | undefined, engine: string): void {
  if (asked === undefined || asked === engine) return;
  throw new StillwireError('USAGE', `--engine ${asked}: the switch runs on ${engine} here`);
}

async function play(
  trial: Trial,
  stage: Stage,
  rounds: number,
  onProgress: (text: string) => void,
): Promise<MeasuredRow[]> {
  onProgress(`${trial.name}: setting up`);
  await trial.open(stage);
  for (let number = 0; number < rounds; number++) {
    onProgress(`${trial.name}: round ${number + 1} of ${rounds}`);
    await trial.round(number);
  }
  return trial.rows();
}
