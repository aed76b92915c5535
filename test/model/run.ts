/**
 * One run: traffic, checkpoints, restarts, then rest; and the last image is brought back once more beside the network
 * it was taken of, because an image is worth what a restart makes of it.
 */
import { Account, Violation } from './account.js';
import { Agenda } from './agenda.js';
import type { Code } from './code.js';
import type { Scenario } from './scenario.js';
import { ALL, asks, fromOf } from './wire.js';
import { World, type ModelImage, type Setting } from './world.js';

/** Frames one guest sends of itself, and answers all of them give, at most. */
const FRAMES = 30;
const ANSWERS = 30;
const WARM_MS = 2;
const LIMIT_MS = 5_000;
const REST_MS = 20_000;

export interface Outcome {
  readonly images: number;
  readonly proven: number;
  readonly restarts: number;
  /** By error code. */
  readonly failures: Readonly<Record<string, number>>;
  readonly frames: number;
  readonly inFlight: number;
}

export interface PlayOptions {
  /** Demand of every method what count and cookie promise. */
  readonly strict?: boolean;
}

class Run {
  readonly #scenario: Scenario;
  readonly #setting: Setting;
  readonly #failures: Record<string, number> = {};
  readonly #sent: number[] = [];
  #answers = 0;
  #world: World;
  #talking = true;
  #images: ModelImage[] = [];
  #restarts = 0;
  readonly #overlapping: Promise<unknown>[] = [];

  constructor(scenario: Scenario, code: Code, { strict = false }: PlayOptions) {
    this.#scenario = scenario;
    const { guests: plans } = scenario;
    const agenda = new Agenda(scenario.seed);
    this.#setting = { code, agenda, account: new Account(), plans, strict };
    this.#world = new World(this.#setting);
    this.#listen();
  }

  async run(): Promise<Outcome> {
    const { agenda, account, plans } = this.#setting;
    for (const i of plans.keys()) this.#talk(i);
    await this.#until(LIMIT_MS, 'the checkpoints', this.#checkpoints());
    this.#talking = false;
    await this.#rest(this.#world, 'in the end');
    const image = this.#images.at(-1);
    if (image !== undefined && !this.#world.closed) {
      this.#world.thread.ended = true;
      let copy: World | undefined;
      await this.#until(
        LIMIT_MS,
        'the restart',
        World.restart(this.#setting, image).then((world) => (copy = world)),
      );
      await this.#rest(copy!, 'brought back');
    }
    account.demand();
    agenda.wake();
    return {
      images: this.#images.length,
      proven: this.#images.filter(({ proven }) => proven).length,
      restarts: this.#restarts,
      failures: this.#failures,
      frames: account.size,
      inFlight: this.#images.reduce((sum, { frames }) => sum + frames.length, 0),
    };
  }

  async #until(ms: number, what: string, work: Promise<unknown>): Promise<void> {
    const { agenda } = this.#setting;
    let done = false;
    let failure: unknown;
    work.then(
      () => (done = true),
      (error: unknown) => {
        failure = error ?? new Error('failed');
        done = true;
      },
    );
    agenda.wake();
    if (!(await agenda.run(ms, () => done)))
      throw new Violation(`stuck: ${what} did not end within ${ms} ms`);
    if (failure !== undefined) throw failure as Error;
  }

  async #checkpoints(): Promise<void> {
    const { agenda } = this.#setting;
    await agenda.sleep(WARM_MS);
    for (const plan of this.#scenario.attempts) {
      await agenda.sleep(plan.gap);
      const world = this.#world;
      const image = await this.#attempt(world, plan, true);
      if (image !== undefined && world.closed) {
        world.thread.ended = true;
        this.#world = await World.restart(this.#setting, image);
        this.#restarts++;
        this.#listen();
      }
    }
    await Promise.all(this.#overlapping);
  }

  async #attempt(
    world: World,
    plan: Scenario['attempts'][number],
    first: boolean,
  ): Promise<ModelImage | undefined> {
    const overlap = (): void => {
      const again = { ...plan, kind: 'inPlace' as const, interruptions: [] };
      if (first && !world.closed) this.#overlapping.push(this.#attempt(world, again, false));
    };
    try {
      const image = await world.take(plan, overlap);
      this.#images.push(image);
      return image;
    } catch (error) {
      const { code = 'UNKNOWN' } = error as { code?: string };
      if (code === 'UNKNOWN') throw error;
      this.#failures[code] = (this.#failures[code] ?? 0) + 1;
      return undefined;
    }
  }

  /** A guest sends of itself, for as long as checkpoints are taken. */
  #talk(i: number): void {
    const { agenda, account, plans } = this.#setting;
    const { everyMs, floods, segments, asks } = plans[i]!;
    if (everyMs === 0) return;
    agenda.in(everyMs * (0.3 + 1.4 * agenda.random()), () => {
      const machine = this.#world.machines[i]!;
      const sent = (this.#sent[i] ??= 0);
      if (!this.#talking || sent >= FRAMES) return;
      if (machine.running) {
        this.#sent[i] = sent + 1;
        const other = (i + 1 + Math.floor(agenda.random() * (plans.length - 1))) % plans.length;
        const to = agenda.random() * floods < 1 ? ALL : other + 1;
        machine.send(account.frame(i + 1, to, segments, asks));
      }
      this.#talk(i);
    });
  }

  #listen(): void {
    const { account } = this.#setting;
    for (const machine of this.#world.machines) {
      machine.onAsked = (wire) => {
        if (this.#answers++ < ANSWERS && asks(wire)) {
          machine.send(account.frame(machine.number, fromOf(wire), 1, this.#answers % 2 === 0));
        }
      };
    }
  }

  /** Everybody runs and takes frames; when nothing is under way any more, everything has arrived. */
  async #rest(world: World, when: string): Promise<void> {
    const { agenda, account } = this.#setting;
    for (const machine of world.machines) {
      if (machine.dead) continue;
      machine.beginTaking();
      if (machine.pausedByOwner) machine.cont();
    }
    for (let waited = 0; waited < REST_MS && !world.atRest; waited += 100) await agenda.run(100);
    if (!world.atRest) account.fault(`${when}: frames go no further`);
    await agenda.run(20);
    world.checkLedger();
    const terms = { inflight: () => [], lossy: world.lossy, provenSince: Number.POSITIVE_INFINITY };
    account.check(when, world.memories(), terms);
    account.demand();
  }
}

/** Plays a scenario. @throws Violation what does not hold */
export const play = (scenario: Scenario, code: Code, options: PlayOptions = {}): Promise<Outcome> =>
  new Run(scenario, code, options).run();
