/**
 * What may happen, as fast-check arbitraries: guests of every kind, traffic at any moment, checkpoints of every kind
 * one after the other, and what comes between. Everything not said here (how long each step takes) comes from `seed`.
 */
import * as fc from 'fast-check';
import {
  PHASES,
  type DrainBounds,
  type Phase,
  type QuiesceMethod,
  type UnreadyPolicy,
} from '../../src/quiesce/index.js';
import { MOST_SEGMENTS } from './wire.js';

export interface GuestPlan {
  readonly readMs: number;
  readonly slots: number;
  readonly bridges: boolean;
  readonly answers: boolean;
  readonly known: boolean;
  /** Whether the kernel can prove its port: a TAP; if not, a datagram socket. */
  readonly kernelProof: boolean;
  readonly tso: boolean;
  readonly window: number;
  readonly room: number;
  readonly starvedMs: number;
  /** It has no driver before the agenda's end; at the end it gets one. */
  readonly unready: boolean;
  readonly paused: boolean;
  /** Milliseconds between two frames it sends of itself; 0: none. */
  readonly everyMs: number;
  /** One in how many of these goes to everybody. */
  readonly floods: number;
  readonly segments: number;
  readonly asks: boolean;
}

export type Happening =
  | 'death'
  /** One stops a guest that is stopped already. */
  | 'stopAgain'
  /** A stop is refused; a stop is done and not confirmed; a save fails. */
  | 'stopFails'
  | 'stopUnheard'
  | 'saveFails'
  /** A guest that took nothing gets its driver. */
  | 'driver'
  | 'lease'
  | 'overflow'
  /** As overflow, and nobody ends the hold in time: the switch does, at twice the bound. */
  | 'flood'
  | 'abort'
  /** Another checkpoint is begun. */
  | 'overlap';

/** Something that comes so long after the beginning of a phase. */
export interface Interruption {
  readonly what: Happening;
  readonly guest: number;
  readonly phase: Phase;
  readonly delay: number;
}

export interface AttemptPlan {
  readonly kind: 'inPlace' | 'background' | 'kill';
  readonly method: QuiesceMethod;
  readonly unready: UnreadyPolicy;
  readonly requireProof: boolean;
  readonly bounds: DrainBounds;
  /** Milliseconds after the attempt before. */
  readonly gap: number;
  readonly interruptions: readonly Interruption[];
}

export interface Scenario {
  readonly seed: number;
  readonly guests: readonly GuestPlan[];
  readonly attempts: readonly AttemptPlan[];
}

export interface Choice {
  readonly methods?: readonly QuiesceMethod[];
  readonly unready?: readonly UnreadyPolicy[];
  readonly kinds?: readonly AttemptPlan['kind'][];
  readonly happenings?: readonly Happening[];
  /** Guests that take nothing, and guests paused by their owners, may occur. */
  readonly idle?: boolean | 'often';
  readonly phases?: readonly Phase[];
  readonly starvedMs?: readonly number[];
  readonly readMs?: readonly number[];
  readonly slots?: readonly number[];
  readonly room?: readonly number[];
}

/** A boolean that is true one time in `n`. */
const seldom = (n: number): fc.Arbitrary<boolean> => fc.nat(n - 1).map((i) => i === n - 1);

const guestPlan = (choice: Choice): fc.Arbitrary<GuestPlan> =>
  fc.record({
    readMs: fc.constantFrom(...(choice.readMs ?? [0.01, 0.05, 0.3, 1.5])),
    slots: fc.constantFrom(...(choice.slots ?? [64, 8, 2, 1])),
    bridges: seldom(4),
    answers: seldom(8).map((no) => !no),
    known: seldom(6).map((no) => !no),
    kernelProof: seldom(4).map((no) => !no),
    tso: fc.boolean(),
    window: fc.constantFrom(16, 8, 4),
    room: fc.constantFrom(...(choice.room ?? [1e9])),
    starvedMs: fc.constantFrom(...(choice.starvedMs ?? [0.2, 2])),
    unready: choice.idle === false ? fc.constant(false) : seldom(choice.idle === 'often' ? 2 : 10),
    paused: choice.idle === false ? fc.constant(false) : seldom(16),
    everyMs: fc.constantFrom(0.1, 0.3, 1, 0),
    floods: fc.constantFrom(1e9, 4, 1),
    segments: fc.integer({ min: 1, max: MOST_SEGMENTS }),
    asks: fc.boolean(),
  });

const ALL_HAPPENINGS = [
  'death',
  'stopAgain',
  'stopFails',
  'stopUnheard',
  'saveFails',
  'lease',
  'overflow',
  'flood',
  'abort',
  'overlap',
] as const;

const interruption = (choice: Choice): fc.Arbitrary<Interruption> =>
  fc.record({
    what: fc.constantFrom(...(choice.happenings ?? ALL_HAPPENINGS)),
    guest: fc.nat(3),
    phase: fc.constantFrom(...(choice.phases ?? PHASES)),
    delay: fc.constantFrom(0, 0.1, 0.3, 0.5, 1, 2, 5),
  });

const attemptPlan = (choice: Choice): fc.Arbitrary<AttemptPlan> =>
  fc.record({
    kind: fc.constantFrom(...(choice.kinds ?? (['inPlace', 'kill', 'background'] as const))),
    method: fc.constantFrom(...(choice.methods ?? (['count', 'auto', 'cookie'] as const))),
    unready: fc.constantFrom(...(choice.unready ?? (['fail', 'keep'] as const))),
    requireProof: seldom(6),
    bounds: fc.record({
      drainMs: fc.constantFrom(100, 30, 8),
      lingerMs: fc.constantFrom(0, 0, 2),
      quietMs: fc.constantFrom(1, 5),
    }),
    gap: fc.constantFrom(0, 0.5, 3),
    interruptions:
      choice.happenings?.length === 0
        ? fc.constant([])
        : fc.oneof(fc.constant([]), fc.array(interruption(choice), { minLength: 1, maxLength: 2 })),
  });

export const scenario = (choice: Choice = {}): fc.Arbitrary<Scenario> =>
  fc.record({
    seed: fc.nat(),
    guests: fc.array(guestPlan(choice), { minLength: 2, maxLength: 4 }),
    attempts: fc.array(attemptPlan(choice), { minLength: 1, maxLength: 3 }),
  });
