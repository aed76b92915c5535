/**
 * Guests that DMTCP was to reach in a checkpoint which was given up before they reported. What such a one reports next
 * is that very checkpoint, as a rule: it is let through, and not counted to the next one, which it knows nothing of.
 *
 * DMTCP does one checkpoint at a time. So nobody is late any more once it is known to have begun another: its
 * coordinator has taken a request, or a guest reports that was not late. And each is late once.
 */

/** Who has not reported by then is stuck, or has a plugin that does not report. */
const LATE_MS = 60_000;

export class Latecomers {
  readonly #guests = new Map<string, { readonly of: object; readonly until: number }>();
  #beginnings = 0;

  /** These have not reported this checkpoint, and may yet. */
  expect(guests: readonly string[], of: object): void {
    const until = performance.now() + LATE_MS;
    for (const guest of guests) this.#guests.set(guest, { of, until });
  }

  /** This checkpoint was not begun after all: nobody will report it. */
  withdraw(of: object): void {
    for (const [guest, late] of this.#guests) if (late.of === of) this.#guests.delete(guest);
  }

  /** Whether a guest that reports is late; if so, not once more. */
  take(guest: string): boolean {
    const late = this.#guests.get(guest);
    this.#guests.delete(guest);
    return late !== undefined && late.until > performance.now();
  }

  /** DMTCP has begun another checkpoint. */
  clear(): void {
    this.#guests.clear();
    this.#beginnings++;
  }

  /** How often it has. */
  get beginnings(): number {
    return this.#beginnings;
  }
}
