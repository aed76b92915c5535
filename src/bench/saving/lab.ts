/** A network of guests that can be saved, killed and brought back: by Stillwire, or by DMTCP alone. */
import type { GuestConsole } from '../../demo/guest-console.js';

export interface SavingLab {
  readonly consoles: readonly GuestConsole[];
  /** Where the guests' TAPs are; each name once while it lasts. */
  readonly namespace: string;
  /** Starts guests; they boot yet when it resolves. */
  up(): Promise<void>;
  /** Saves all of them. @param kill ends them then @returns what went less well than it should, in words */
  save(kill: boolean): Promise<string[]>;
  /** Brings them back from what was saved last. */
  restart(): Promise<void>;
  /** Ends everything. May be called at any time, and again. */
  end(): Promise<void>;
}
