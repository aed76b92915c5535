/**
 * The guests of a checkpoint, stopped and resumed together. Remembers which ones were running, so that exactly those
 * run again and one the user had paused stays paused; and when each stopped and resumed, for the skew.
 */
import { StillwireError } from '../errors/index.js';
import type { PortId } from '../frame/types.js';
import type { Guest, RunState } from '../guest/index.js';
import type { Participants } from '../quiesce/index.js';
import { everyone } from './everyone.js';
import { isStranded, Stranded } from './stranded.js';

const spread = (times: readonly number[]): number =>
  times.length === 0 ? 0 : Math.max(...times) - Math.min(...times);

export class Crew implements Participants {
  readonly #guests: readonly Guest[];
  readonly #states: ReadonlyMap<Guest, RunState>;
  readonly #stopped = new Set<Guest>();
  readonly #stopTimes: number[] = [];
  readonly #resumeTimes: number[] = [];
  /** Those that we stopped and could not resume: it is being tried again. */
  readonly stranded = new Stranded();

  private constructor(states: ReadonlyMap<Guest, RunState>) {
    this.#guests = [...states.keys()];
    this.#states = states;
  }

  /** @throws StillwireError GUEST_FAILED when a guest is in a state that cannot be saved and restored, or on its way out of one */
  static async assemble(guests: readonly Guest[]): Promise<Crew> {
    for (const guest of guests) {
      if (!isStranded(guest)) continue;
      const words = `guest ${guest.name} has not been resumed since the last checkpoint failed: it is still being tried`;
      throw new StillwireError('GUEST_FAILED', words, { guest: guest.name });
    }
    const states = await Promise.all(guests.map(async (guest) => [guest, await guest.runState()] as const));
    for (const [guest, state] of states) {
      if (state === 'running' || state === 'paused' || state === 'ended') continue;
      const words = `guest ${guest.name} is in state ${state}; only running and paused guests can be saved`;
      throw new StillwireError('GUEST_FAILED', words, { guest: guest.name, state });
    }
    return new Crew(new Map(states));
  }

  /** Everyone who is still there. */
  get present(): readonly Guest[] {
    return this.#guests.filter((guest) => this.stateOf(guest) !== 'ended');
  }

  /** The run state before our stop. */
  stateOf(guest: Guest): RunState {
    return this.#states.get(guest) ?? 'ended';
  }

  async stop(signal: AbortSignal): Promise<void> {
    const running = this.#guests.filter((guest) => this.stateOf(guest) === 'running');
    await everyone(running, async (guest) => {
      this.#stopped.add(guest); // before the answer: a stop that failed half-way must be resumed too
      const ran = await guest.stop(signal);
      this.#stopTimes.push(performance.now());
      if (ran) return;
      this.#stopped.delete(guest); // whoever paused it meanwhile does not want it running
      const { name } = guest;
      throw new StillwireError('GUEST_FAILED', `guest ${name} was paused while the checkpoint began`, {
        guest: name,
      });
    });
  }

  /** A guest its user had paused is not stopped by us. */
  stops(port: PortId): boolean {
    const guest = this.#guests.find(({ name }) => name === port.split('/', 1)[0]);
    return guest !== undefined && this.stateOf(guest) === 'running';
  }

  /** @throws StillwireError the first failure; whoever could not be resumed is among the {@link stranded} then */
  async resume(): Promise<void> {
    const stopped = [...this.#stopped].filter((guest) => guest.pid !== undefined);
    this.#stopped.clear();
    await everyone(stopped, async (guest) => {
      try {
        await guest.resume();
        this.#resumeTimes.push(performance.now());
      } catch (error) {
        if (guest.pid !== undefined) this.stranded.add(guest);
        throw error;
      }
    });
  }

  /** Nobody is resumed any more: they are about to be ended. */
  async kill(): Promise<void> {
    this.#stopped.clear();
    await everyone(this.present, (guest) => guest.kill());
  }

  /** Milliseconds between the first and the last. */
  get skew(): { stop: number; resume?: number } {
    const resume = this.#resumeTimes.length === 0 ? {} : { resume: spread(this.#resumeTimes) };
    return { stop: spread(this.#stopTimes), ...resume };
  }
}
