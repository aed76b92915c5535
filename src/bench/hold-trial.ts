/**
 * How long after the request the last frame is delivered, under a flood. The switch tells when it stopped; that this is
 * true is seen at the receiver's device: after the answer it must count no frame, and before each hold many. The sender
 * rests between two holds until what was held is delivered.
 */
import type { Carrier } from './carrier.js';
import { conditionsOf } from './carriers-trial.js';
import { StillwireError } from '../errors/index.js';
import type { StillwireKind } from './peers/stillwire.js';
import { describePlacement } from './placement.js';
import { judgeRow, type Asked, type MeasuredRow } from './row.js';
import type { Stage, Trial } from './stage.js';
import { quantile } from './statistics.js';
import type { HoldSample } from './switch-orders.js';

const ABSOLUTE = { peer: 'none: milliseconds', unit: 'ms', less: true } as const;
const P50: Asked = { ...ABSOLUTE, name: 'hold under flood, p50 in ms', floor: 0.15, goal: 0.15 };
const P99: Asked = { ...ABSOLUTE, name: 'hold under flood, p99 in ms', floor: 5, goal: 2 };

export class HoldTrial implements Trial {
  readonly name = 'hold';
  readonly #kind: StillwireKind;
  readonly #p50: number[] = [];
  readonly #p99: number[] = [];
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

  async round(): Promise<void> {
    const { ends } = this.#carrier!;
    const count = this.#stage!.settings.holds;
    const samples = await this.#stage!.measure().flooded(this.#carrier!, (sender) =>
      this.#kind.process().ask('hold', { count, sender, counters: ends.counters }),
    );
    samples.forEach(check);
    const times = samples.map(({ heldMs }) => heldMs);
    this.#p50.push(quantile(times, 0.5));
    this.#p99.push(quantile(times, 0.99));
  }

  rows(): MeasuredRow[] {
    const carrier = this.#carrier!;
    const pinning = describePlacement(this.#stage!.settings.placement);
    const side = { carrier: carrier.kind.name, conditions: conditionsOf(carrier) };
    return [
      judgeRow(P50, pinning, { ...side, figures: this.#p50 }),
      judgeRow(P99, pinning, { ...side, figures: this.#p99 }),
    ];
  }
}

function check({ before, kept, after }: HoldSample): void {
  if (kept && after !== 0) {
    throw new StillwireError('INTERNAL', `${after} frames were delivered after the hold was acknowledged`);
  }
  if (before <= 0) throw new StillwireError('INTERNAL', 'a hold met no flood: there was nothing to stop');
}
