/** What the trials of a run share: the ground, the traffic program, the lengths of things, and carriers at work. */
import { start, type Carrier, type CarrierKind } from './carrier.js';
import { compile } from './compile.js';
import { Ground } from './ground.js';
import { Measure } from './measure.js';
import { UNPINNED, type Placement } from './placement.js';
import type { MeasuredRow } from './row.js';

export interface Settings {
  readonly rounds: number;
  /** How long each measurement lasts. */
  readonly ms: number;
  /** How often a network is held in each round. */
  readonly holds: number;
  readonly placement: Placement;
}

/** Rows that are measured together, round by round. */
export interface Trial {
  readonly name: string;
  /** Why it cannot be had on this machine; undefined when it can. */
  missing(): Promise<string | undefined>;
  open(stage: Stage): Promise<void>;
  /** One round: everything that is compared, once each. @param number from 0 */
  round(number: number): Promise<void>;
  rows(): MeasuredRow[];
}

export class Stage {
  readonly ground: Ground;
  readonly settings: Settings;
  /** The program of bench/traffic.c. */
  readonly traffic: string;
  readonly #carriers = new Map<CarrierKind, Promise<Carrier>>();

  private constructor(ground: Ground, settings: Settings, traffic: string) {
    this.ground = ground;
    this.settings = settings;
    this.traffic = traffic;
  }

  static async open(ground: Ground, settings: Settings): Promise<Stage> {
    return new Stage(ground, settings, await compile(ground, 'traffic'));
  }

  /** A carrier at work; started when first asked for, and idle unless measured. */
  carrier(kind: CarrierKind): Promise<Carrier> {
    const found = this.#carriers.get(kind) ?? start(this.ground, this.traffic, kind);
    this.#carriers.set(kind, found);
    return found;
  }

  measure(placement = this.settings.placement): Measure {
    return new Measure(this.ground, placement, this.settings.ms);
  }

  /** The placement for a carrier that needs more than one processor. */
  get looseCarrier(): Placement {
    return { ...this.settings.placement, carrier: UNPINNED.carrier };
  }
}
