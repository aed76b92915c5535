/** A trial of one Stillwire alone: against itself in another state, or by the clock. */
import { StillwireError } from '../errors/index.js';
import type { Carrier } from './carrier.js';
import type { StillwireKind } from './peers/stillwire.js';
import type { MeasuredRow } from './row.js';
import type { Stage, Trial } from './stage.js';

export abstract class SwitchTrial implements Trial {
  abstract readonly name: string;
  protected readonly kind: StillwireKind;
  #opened: { readonly stage: Stage; readonly carrier: Carrier } | undefined;

  constructor(kind: StillwireKind) {
    this.kind = kind;
  }

  missing(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async open(stage: Stage): Promise<void> {
    this.#opened = { stage, carrier: await stage.carrier(this.kind) };
  }

  /** Once it is open. */
  protected get opened(): { readonly stage: Stage; readonly carrier: Carrier } {
    if (this.#opened === undefined) throw new StillwireError('INTERNAL', `${this.name} was not opened`);
    return this.#opened;
  }

  abstract round(number: number): Promise<void>;
  abstract rows(): MeasuredRow[];
}
