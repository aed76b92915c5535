/**
 * Every carrier against every other, in one run: all are set up at once and idle while one is measured. A round measures
 * each of them once by each metric; the rounds begin with another one each time, so that none is always first.
 */
import type { Carrier, CarrierKind, CarrierName } from './carrier.js';
import { MTU } from './ends.js';
import type { Measure } from './measure.js';
import { describePlacement } from './placement.js';
import { COMPARISONS, type Comparison, type Metric } from './plan.js';
import { judgeRow, type MeasuredRow, type Side } from './row.js';
import type { Stage, Trial } from './stage.js';

/** A figure per round, by metric. */
type Figures = Record<Metric, number[]>;

export class CarriersTrial implements Trial {
  readonly name = 'carriers';
  readonly #kinds: readonly CarrierKind[];
  readonly #carriers = new Map<CarrierName, Carrier>();
  readonly #figures = new Map<CarrierName, Figures>();
  #measure: Measure | undefined;
  #pinning = '';

  /** @param kinds those that are there */
  constructor(kinds: readonly CarrierKind[]) {
    this.#kinds = kinds;
  }

  missing(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async open(stage: Stage): Promise<void> {
    this.#measure = stage.measure();
    this.#pinning = describePlacement(stage.settings.placement);
    for (const kind of this.#kinds) {
      this.#carriers.set(kind.name, await stage.carrier(kind));
      this.#figures.set(kind.name, { bulk: [], frames: [], answer: [], cpu: [] });
    }
  }

  async round(number: number): Promise<void> {
    const all = [...this.#carriers];
    const order = all.map((_, i) => all[(i + number) % all.length]!);
    const measure = this.#measure!;
    for (const [name, carrier] of order) this.#of(name).bulk.push(await measure.bulk(carrier));
    for (const [name, carrier] of order) {
      this.#of(name).answer.push((await measure.exchanges(carrier)).p50Us);
    }
    for (const [name, carrier] of order) {
      const { framesPerSecond, cpuNsPerFrame } = await measure.flood(carrier);
      this.#of(name).frames.push(framesPerSecond);
      this.#of(name).cpu.push(cpuNsPerFrame);
    }
  }

  #of(name: CarrierName): Figures {
    return this.#figures.get(name)!;
  }

  rows(): MeasuredRow[] {
    const measured = COMPARISONS.filter(({ theirs }) => this.#carriers.has(theirs));
    return measured.map((asked) =>
      judgeRow(asked, this.#pinning, this.#side(asked, asked.ours), this.#side(asked, asked.theirs)),
    );
  }

  #side({ metric }: Comparison, name: CarrierName): Side {
    const carrier = this.#carriers.get(name)!;
    return { carrier: name, conditions: conditionsOf(carrier), figures: this.#of(name)[metric] };
  }
}

/** Port kind, offload flags of the ends and MTU. */
export function conditionsOf({ kind, ends }: Carrier): string {
  const offloads = ends.offloads.length === 0 ? 'no offloads' : ends.offloads.join(' ');
  return `${kind.ports}, ${offloads}, MTU ${MTU}`;
}
