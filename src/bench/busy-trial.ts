/** Whether control work delays frames: the slowest exchanges while the main thread makes JSON and files, and while it rests. */
import { join } from 'node:path';
import { conditionsOf } from './carriers-trial.js';
import { describePlacement } from './placement.js';
import { judgeRow, type MeasuredRow, type Side } from './row.js';
import { SwitchTrial } from './switch-trial.js';

const ASKED = {
  name: 'request/response p99, busy main thread',
  peer: 'idle main thread',
  unit: 'µs',
  floor: 2,
  goal: 2,
  less: true,
} as const;

export class BusyTrial extends SwitchTrial {
  readonly name = 'busy';
  readonly #busy: number[] = [];
  readonly #idle: number[] = [];

  /** The process has two threads that want to run: it may use every processor. */
  async round(): Promise<void> {
    const { stage, carrier } = this.opened;
    const measure = stage.measure(stage.looseCarrier);
    this.#idle.push((await measure.exchanges(carrier)).p99Us);
    const file = join(stage.ground.directory, 'busy.json');
    const process = this.kind.process();
    await process.ask('busy', { on: true, file });
    this.#busy.push((await measure.exchanges(carrier)).p99Us);
    await process.ask('busy', { on: false, file });
  }

  rows(): MeasuredRow[] {
    const { stage, carrier } = this.opened;
    const side = (state: string, figures: readonly number[]): Side => ({
      carrier: `${carrier.kind.name}, ${state}`,
      conditions: conditionsOf(carrier),
      figures,
    });
    const pinning = describePlacement(stage.looseCarrier);
    return [judgeRow(ASKED, pinning, side('busy', this.#busy), side('idle', this.#idle))];
  }
}
