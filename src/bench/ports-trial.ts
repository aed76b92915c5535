/** What a frame costs with 32 ports, all of them under a flood in 16 pairs, and with two. */
import type { Carrier, CarrierKind } from './carrier.js';
import { conditionsOf } from './carriers-trial.js';
import type { Measure } from './measure.js';
import { describePlacement } from './placement.js';
import { judgeRow, type MeasuredRow, type Side } from './row.js';
import type { Stage, Trial } from './stage.js';

const ASKED = {
  name: 'CPU per frame, 32 TAP fd ports',
  peer: '2 ports',
  unit: 'ns/frame',
  floor: 1.2,
  goal: 1.1,
  less: true,
} as const;

export class PortsTrial implements Trial {
  readonly name = 'ports';
  readonly #kinds: readonly CarrierKind[];
  readonly #carriers: Carrier[] = [];
  readonly #figures: [number[], number[]] = [[], []];
  #measure: Measure | undefined;
  #pinning = '';

  constructor(many: CarrierKind, two: CarrierKind) {
    this.#kinds = [many, two];
  }

  missing(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async open(stage: Stage): Promise<void> {
    this.#measure = stage.measure();
    this.#pinning = describePlacement(stage.settings.placement);
    for (const kind of this.#kinds) this.#carriers.push(await stage.carrier(kind));
  }

  async round(): Promise<void> {
    for (const [i, carrier] of this.#carriers.entries()) {
      this.#figures[i as 0 | 1].push((await this.#measure!.flood(carrier)).cpuNsPerFrame);
    }
  }

  rows(): MeasuredRow[] {
    return [judgeRow(ASKED, this.#pinning, this.#side(0), this.#side(1))];
  }

  #side(i: 0 | 1): Side {
    const carrier = this.#carriers[i]!;
    const name = `Stillwire, ${2 * carrier.ends.pairs} ports`;
    return { carrier: name, conditions: conditionsOf(carrier), figures: this.#figures[i] };
  }
}
