/** Whether control work delays frames: the slowest exchanges while the main thread makes JSON and files, and while it rests. */
import { join } from 'node:path';
import type { Carrier } from './carrier.js';
import { conditionsOf } from './carriers-trial.js';
import type { StillwireKind } from './peers/stillwire.js';
import { describePlacement } from './placement.js';
import { judgeRow, type MeasuredRow, type Side } from './row.js';
import type { Stage, Trial } from './stage.js';

const ASKED = {
  name: 'request/response p99, busy main thread',
  peer: 'idle main thread',
  unit: 'µs',
  floor: 2,
  goal: 2,
  less: true,
} as const;

export class BusyTrial implements Trial {
  readonly name = 'busy';
  readonly #kind: StillwireKind;
  readonly #busy: number[] = [];
  readonly #idle: number[] = [];
  #stage: Stage | undefined;
  #carrier: Carrier | undefined;

  constructor(kind: StillwireKind) {
    this.#kind = kind;
  }

  missing(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async open(stage: Stage): Promise<void> {
    this.#stage = stage;
    this.#carrier = await stage.carrier(this.#kind);
  }

  /** The process has two threads that want to run: it may use every processor. */
  async round(): Promise<void> {
    const measure = this.#stage!.measure(this.#stage!.looseCarrier);
    this.#idle.push((await measure.exchanges(this.#carrier!)).p99Us);
    const file = join(this.#stage!.ground.directory, 'busy.json');
    const process = this.#kind.process();
    await process.ask('busy', { on: true, file });
    this.#busy.push((await measure.exchanges(this.#carrier!)).p99Us);
    await process.ask('busy', { on: false, file });
  }

  rows(): MeasuredRow[] {
    const carrier = this.#carrier!;
    const side = (state: string, figures: readonly number[]): Side => ({
      carrier: `${carrier.kind.name}, ${state}`,
      conditions: conditionsOf(carrier),
      figures,
    });
    const pinning = describePlacement(this.#stage!.looseCarrier);
    return [judgeRow(ASKED, pinning, side('busy', this.#busy), side('idle', this.#idle))];
  }
}
