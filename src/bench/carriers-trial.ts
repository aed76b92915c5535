/**
 * Every carrier against every other, in one run: all are set up at once and idle while one is measured. A round measures
 * each of them once by each metric; the rounds begin with another one each time, so that none is always first.
 */
import { start, type Carrier, type CarrierKind, type CarrierName } from './carrier.js';
import { MTU } from './ends.js';
import type { Ground } from './ground.js';
import type { Measure } from './measure.js';
import { COMPARISONS, type Comparison, type Metric } from './plan.js';
import { judgeRow, type MeasuredRow, type Side } from './row.js';

/** A figure per round, by metric. */
type Figures = Record<Metric, number[]>;

export class CarriersTrial {
  readonly #carriers = new Map<CarrierName, Carrier>();
  readonly #figures = new Map<CarrierName, Figures>();

  /** Sets up all of them. */
  async open(ground: Ground, traffic: string, kinds: readonly CarrierKind[]): Promise<void> {
    for (const kind of kinds) {
      this.#carriers.set(kind.name, await start(ground, traffic, kind));
      this.#figures.set(kind.name, { bulk: [], frames: [], answer: [], cpu: [] });
    }
  }

  carrier(name: CarrierName): Carrier | undefined {
    return this.#carriers.get(name);
  }

  async round(number: number, measure: Measure): Promise<void> {
    const names = [...this.#carriers.keys()];
    const order = names.map((_, i) => names[(i + number) % names.length]!);
    for (const name of order) this.#of(name).bulk.push(await measure.bulk(this.#carriers.get(name)!));
    for (const name of order) this.#of(name).answer.push((await measure.exchanges(this.#carriers.get(name)!)).p50Us);
    for (const name of order) {
      const { framesPerSecond, cpuNsPerFrame } = await measure.flood(this.#carriers.get(name)!);
      this.#of(name).frames.push(framesPerSecond);
      this.#of(name).cpu.push(cpuNsPerFrame);
    }
  }

  #of(name: CarrierName): Figures {
    return this.#figures.get(name)!;
  }

  /** The rows of all that was set up. */
  rows(pinning: string): MeasuredRow[] {
    const measured = COMPARISONS.filter(({ theirs }) => this.#carriers.has(theirs));
    return measured.map((asked) =>
      judgeRow(asked, pinning, this.#side(asked, asked.ours), this.#side(asked, asked.theirs)),
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
