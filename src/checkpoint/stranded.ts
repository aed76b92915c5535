/**
 * Guests that we stopped and that could not be resumed: QEMU refuses `cont` as long as a migration that was cancelled has
 * not ended, and one that does not come to its end within our patience may do so later. A guest must not stand still
 * for that: it is tried again until it runs, or has ended, or the network is closed, which ends it or lets go of it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import type { Guest } from '../guest/index.js';

/** How often it is tried again. */
const RETRY_MS = 1_000;

/** Of all checkpoints: a guest that may be resumed at any moment can be in no cut. */
const waiting = new WeakSet<Guest>();

export const isStranded = (guest: Guest): boolean => waiting.has(guest);

export class Stranded {
  readonly #guests = new Set<Guest>();
  #onChange: () => void = () => undefined;

  get names(): string[] {
    return [...this.#guests].map(({ name }) => name);
  }

  /** Takes in a guest and goes on trying to resume it. */
  add(guest: Guest): void {
    this.#guests.add(guest);
    waiting.add(guest);
    void untilItRuns(guest).then(() => {
      waiting.delete(guest);
      this.#guests.delete(guest);
      this.#onChange();
    });
  }

  /** Tells who is left, now and whenever one runs again or has ended. */
  follow(tell: (names: readonly string[]) => void): void {
    this.#onChange = () => tell(this.names);
    this.#onChange();
  }
}

async function untilItRuns(guest: Guest): Promise<void> {
  const isThere = (): boolean => guest.pid !== undefined;
  for (;;) {
    await delay(RETRY_MS, undefined, { ref: false });
    if (!isThere()) return;
    try {
      await guest.resume();
      return;
    } catch (error) {
      // Its monitor has gone for good: only a new daemon can speak to it again, and the journal names it for that one.
      if (StillwireError.from(error).code === 'GUEST_DIED' && isThere()) await guest.ended;
    }
  }
}
