/**
 * One checkpoint of DMTCP's, of all guests of a network that run under it: who has reported that it begins, and who is
 * missing. It has no part to be taken in before everyone is there: one guest that DMTCP does not know of, or that its
 * plugin has left, would be cut at another moment than the rest.
 */
import { StillwireError } from '../errors/index.js';
import type { DmtcpCall } from './call.js';
import { Progress } from './progress.js';
import { DmtcpPassage, type Company, type Gate } from './passage.js';

export class DmtcpRound implements Company {
  /** We asked for it; else somebody else did, or a timer of the coordinator's. */
  readonly asked: boolean;
  readonly progress: Progress;
  /** Our request to the coordinator: under way, or granted. Undefined: not asked for, or refused. */
  request: Promise<StillwireError | undefined> | undefined;
  readonly #passages = new Map<string, DmtcpPassage>();
  /** Names of those that have to come; who has died has not. */
  readonly #expected: () => readonly string[];
  #givenUp: string | undefined;
  #failure: StillwireError | undefined;
  readonly #waiters = new Set<() => void>();
  #close!: () => void;
  /** Resolves when all who came are through it. */
  readonly over = new Promise<void>((resolve) => (this.#close = resolve));

  constructor(asked: boolean, expected: () => readonly string[], progress = new Progress()) {
    this.asked = asked;
    this.progress = progress;
    this.#expected = expected;
  }

  /** A guest's plugin has reported PRESUSPEND. @returns why it is refused */
  join(guest: string, call: DmtcpCall): string | undefined {
    const before = this.#passages.get(guest);
    if (before !== undefined && before.place !== 'over') return 'its checkpoint is under way already';
    const passage = new DmtcpPassage(guest, call, this);
    this.#passages.set(guest, passage);
    if (this.#givenUp !== undefined) passage.giveUp(this.#givenUp);
    void passage.ended.then(() => this.#settle());
    this.#wake();
    return undefined;
  }

  get missing(): string[] {
    return this.#expected().filter((name) => !this.#passages.has(name));
  }

  /** Who has come and is not through it. */
  get underWay(): string[] {
    return [...this.#passages].flatMap(([name, { place }]) => (place === 'over' ? [] : [name]));
  }

  /** Who has not come as far as this gate. */
  behind(gate: Gate): string[] {
    const late = [...this.#passages].filter(([, passage]) => !passage.hasReached(gate));
    return [...this.missing, ...late.map(([name]) => name)];
  }

  get hasBegun(): boolean {
    return this.#passages.size > 0;
  }

  get givenUp(): boolean {
    return this.#givenUp !== undefined;
  }

  /** Nothing comes of it any more: it is given up, or one of the guests goes through it without us. */
  get spoilt(): boolean {
    return this.givenUp || [...this.#passages.values()].some(({ wavedThrough }) => wavedThrough);
  }

  /** Why it was given up. */
  get reason(): string {
    return this.#givenUp ?? '';
  }

  passage(guest: string): DmtcpPassage | undefined {
    return this.#passages.get(guest);
  }

  /**
   * Resolves when every guest has reported.
   * @throws StillwireError GUEST_FAILED naming those who have not within the bound; what {@link fail} was told
   */
  async everyoneHere(boundMs: number): Promise<void> {
    const end = performance.now() + boundMs;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#givenUp !== undefined) throw new StillwireError('GUEST_FAILED', this.#givenUp);
      const { missing } = this;
      if (missing.length === 0) return;
      const left = end - performance.now();
      if (left <= 0) {
        const words = `DMTCP's checkpoint did not reach ${missing.join(', ')} within ${boundMs / 1000} s: its plugin has not reported`;
        throw new StillwireError('GUEST_FAILED', words, { guests: missing });
      }
      await this.#change(left);
    }
  }

  /** Something is wrong with one of the guests: whoever waits for all is told, and gives up. */
  object(error: StillwireError): void {
    this.#failure ??= error;
    this.#wake();
  }

  /** It will not come to be. */
  fail(error: StillwireError): void {
    this.#failure ??= error;
    this.giveUp(error.message);
  }

  /** Everyone gets through without us, those who come later too. */
  giveUp(reason: string): void {
    this.#givenUp ??= reason;
    for (const passage of this.#passages.values()) passage.giveUp(reason);
    this.#wake();
    this.#settle();
  }

  /** Somebody has died: who is missing may have changed. */
  recount(): void {
    this.#wake();
    this.#settle();
  }

  #settle(): void {
    const through = [...this.#passages.values()].every(({ place }) => place === 'over');
    if (through && (this.givenUp || this.missing.length === 0)) this.#close();
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }

  #change(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiters.delete(wake);
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(wake, withinMs);
      this.#waiters.add(wake);
    });
  }
}
