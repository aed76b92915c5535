/**
 * One guest's way through one checkpoint of DMTCP's, as its plugin reports it:
 *
 *   PRESUSPEND      it runs, and waits for nobody            suspend()  GO ▸
 *   PRECHECKPOINT   its threads and all its peers' stand     save(id)   GO with the id, which gets into the image ▸
 *   RESUME          its image is written                     resume()   GO ▸  it runs
 *
 * Whoever gives up lets it through with the id `none`: DMTCP's checkpoint cannot be called off once it has begun, so the
 * guest goes through it and runs on, with an image that no restart of ours takes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import type { DmtcpCall } from './call.js';
import { fault } from './lines.js';
import type { Progress } from './progress.js';

const GATES = ['PRESUSPEND', 'PRECHECKPOINT', 'RESUME'] as const;
export type Gate = (typeof GATES)[number];
type Place = Gate | 'between' | 'over';

/** Those who go together: at each gate DMTCP has them wait for the last. */
export interface Company {
  /** Names of those that have not come as far as this gate. */
  behind(gate: Gate): string[];
  /** Of their images. */
  readonly progress: Progress;
}

export class DmtcpPassage {
  readonly #call: DmtcpCall;
  readonly #guest: string;
  readonly #company: Company;
  #place: Place = 'PRESUSPEND';
  /** The last gate that it has come to. */
  #gate: Gate = 'PRESUSPEND';
  #failure: StillwireError | undefined;
  #givenUp: string | undefined;
  readonly #waiters = new Set<() => void>();
  /** Resolves when the plugin has hung up: the guest runs on, or is dead. Never rejects. */
  readonly ended: Promise<void>;

  /** @param call its plugin has reported PRESUSPEND */
  constructor(guest: string, call: DmtcpCall, company: Company) {
    this.#guest = guest;
    this.#call = call;
    this.#company = company;
    this.ended = this.#follow();
  }

  get place(): Place {
    return this.#place;
  }

  /** It goes through without us. */
  get wavedThrough(): boolean {
    return this.#givenUp !== undefined;
  }

  hasReached(gate: Gate): boolean {
    return GATES.indexOf(this.#gate) >= GATES.indexOf(gate);
  }

  /** Process id of the guest. */
  get pid(): number {
    return this.#call.pid;
  }

  async #follow(): Promise<void> {
    try {
      for (const expected of ['PRECHECKPOINT', 'RESUME'] as const) {
        const { word } = await this.#call.next();
        if (word !== expected) throw fault(`sent ${word} where ${expected} comes`);
        this.#gate = expected;
        this.#company.progress.step();
        this.#arrive(expected);
      }
      throw fault(`sent ${(await this.#call.next()).word} after its last report`);
    } catch (error) {
      this.#failure = StillwireError.from(error);
      this.#call.hangUp(this.#failure);
    }
    await this.#call.ended;
    this.#arrive('over');
  }

  #arrive(place: Place): void {
    this.#place = place;
    if (this.#givenUp !== undefined) this.#wave();
    for (const wake of [...this.#waiters]) wake();
  }

  #answer(word: 'GO' | 'SKIP', values: Readonly<Record<string, string>> = {}): void {
    this.#place = 'between';
    this.#call.answer(word, values);
  }

  /** Lets it pass where it stands, of no checkpoint of ours. */
  #wave(): void {
    if (this.#place === 'RESUME') this.#answer('GO');
    else if (this.#place === 'PRESUSPEND' || this.#place === 'PRECHECKPOINT') {
      this.#answer('SKIP', { reason: this.#givenUp ?? '' });
    }
  }

  /** It gets through without us from here on. */
  giveUp(reason: string): void {
    if (this.#givenUp !== undefined || this.#place === 'over') return;
    this.#givenUp = reason;
    this.#wave();
    for (const wake of [...this.#waiters]) wake();
  }

  /** Lets it be suspended; resolves when it and all its peers are. @throws StillwireError GUEST_FAILED */
  async suspend(boundMs: number): Promise<void> {
    if (this.#place === 'PRESUSPEND') this.#answer('GO');
    const bound = AbortSignal.timeout(boundMs);
    await this.#until('PRECHECKPOINT', bound).catch((error: unknown) => {
      if (!bound.aborted) throw error;
      // Those that came wait too: who of them is the cause is not to be seen from one alone.
      const missing = this.#company.behind('PRECHECKPOINT');
      const words = `DMTCP has not suspended ${missing.join(', ')} within ${boundMs / 1000} s: no PRECHECKPOINT of its plugin`;
      throw new StillwireError('GUEST_FAILED', words, { guests: missing });
    });
  }

  /**
   * Lets its image be written, with this id in it.
   * @param written bytes that are there of it
   * @throws StillwireError GUEST_FAILED, also when no image of all has grown for a time; the signal's reason
   */
  async save(checkpoint: string, signal: AbortSignal, written: () => Promise<number>): Promise<void> {
    if (this.#place !== 'PRECHECKPOINT') throw this.#say('it is not suspended');
    const { progress } = this.#company;
    const stalled = new AbortController();
    const look = async (): Promise<void> => {
      progress.note(this.#guest, await written());
      if (progress.stalled) stalled.abort(this.#stall());
    };
    progress.step();
    this.#answer('GO', { checkpoint });
    const looking = setInterval(() => void look(), progress.periodMs);
    try {
      await this.#until('RESUME', AbortSignal.any([signal, stalled.signal]));
    } finally {
      clearInterval(looking);
    }
  }

  #stall(): StillwireError {
    const guests = this.#company.behind('RESUME');
    const bound = this.#company.progress.boundMs / 1000;
    const words = `DMTCP has not come further with the images of ${guests.join(', ')} for ${bound} s: no RESUME of the plugin`;
    return new StillwireError('GUEST_FAILED', words, { guests });
  }

  /** Lets it run; resolves when it does, or is taken to. */
  async resume(boundMs: number): Promise<void> {
    if (this.#place === 'RESUME') this.#answer('GO');
    else this.giveUp('the checkpoint was given up');
    await Promise.race([this.ended, delay(boundMs, undefined, { ref: false })]);
    if (this.#place !== 'over') throw this.#say(`it does not run again after ${boundMs / 1000} s`);
  }

  async #until(place: Gate, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#givenUp !== undefined) throw this.#say(this.#givenUp);
      if (this.#place === place) return;
      if (this.#place === 'over') throw this.#say(this.#failure?.message ?? 'its DMTCP plugin hung up');
      await this.#change(signal);
    }
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiters.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiters.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  #say(words: string): StillwireError {
    return new StillwireError('GUEST_FAILED', `guest ${this.#guest}: ${words}`, { guest: this.#guest });
  }
}
