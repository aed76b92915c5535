/**
 * How long after the request the last frame is delivered, under a flood. The switch tells when it stopped; that this is
 * true is seen at the receiver's device: after the answer it must count no frame, and before each hold many. The sender
 * rests between two holds until what was held is delivered.
 */
import { conditionsOf } from './carriers-trial.js';
import { StillwireError } from '../errors/index.js';
import { describePlacement } from './placement.js';
import { judgeRow, type Asked, type MeasuredRow } from './row.js';
import { quantile } from './statistics.js';
import type { HoldSample } from './switch-orders.js';
import { SwitchTrial } from './switch-trial.js';

const ABSOLUTE = { peer: 'none: milliseconds', unit: 'ms', less: true } as const;
const P50: Asked = { ...ABSOLUTE, name: 'hold under flood, p50 in ms', floor: 0.15, goal: 0.15 };
const P99: Asked = { ...ABSOLUTE, name: 'hold under flood, p99 in ms', floor: 5, goal: 2 };

export class HoldTrial extends SwitchTrial {
  readonly name = 'hold';
  readonly #p50: number[] = [];
  readonly #p99: number[] = [];

  async round(): Promise<void> {
    const { stage, carrier } = this.opened;
    const { ends } = carrier;
    const count = stage.settings.holds;
    const samples = await stage
      .measure()
      .flooded(carrier, (sender) =>
        this.kind.process().ask('hold', { count, sender, counters: ends.counters }),
      );
    samples.forEach(check);
    const times = samples.map(({ heldMs }) => heldMs);
    this.#p50.push(quantile(times, 0.5));
    this.#p99.push(quantile(times, 0.99));
  }

  rows(): MeasuredRow[] {
    const { stage, carrier } = this.opened;
    const pinning = describePlacement(stage.settings.placement);
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
