/**
 * Searching, with bounds that suit continuous integration. For a longer search:
 *
 *   MODEL_RUNS=50 MODEL_SEED=7 npx vitest run --project pure test/pure/model
 *
 * MODEL_RUNS multiplies the runs of the searches that must find nothing; MODEL_SEED begins them elsewhere.
 */
import * as fc from 'fast-check';
import { Violation } from './account.js';
import type { Code } from './code.js';
import { play, type Outcome, type PlayOptions } from './run.js';
import { scenario, type Choice, type Scenario } from './scenario.js';

const FACTOR = Number(process.env['MODEL_RUNS'] ?? 1);
const SEED = Number(process.env['MODEL_SEED'] ?? 1);
/** Of a test that searches, milliseconds: far above what it needs. */
export const PATIENCE = 120_000 * Math.max(1, FACTOR);

/** What all runs of a search came to. */
export type Totals = Omit<Outcome, 'failures'> & { readonly failures: Readonly<Record<string, number>> };

/** Finds nothing in `runs` scenarios, or fails with the smallest counterexample. */
export async function findsNothing(
  code: Code,
  choice: Choice,
  runs: number,
  options?: PlayOptions,
): Promise<Totals> {
  const outcomes: Outcome[] = [];
  const property = fc.asyncProperty(scenario(choice), async (one: Scenario) => {
    outcomes.push(await play(one, code, options));
  });
  await fc.assert(property, { numRuns: Math.ceil(runs * FACTOR), seed: SEED });
  return total(outcomes);
}

function total(outcomes: readonly Outcome[]): Totals {
  const sum = (of: (outcome: Outcome) => number): number => outcomes.reduce((all, one) => all + of(one), 0);
  const failures: Record<string, number> = {};
  for (const one of outcomes) {
    for (const [code, times] of Object.entries(one.failures)) failures[code] = (failures[code] ?? 0) + times;
  }
  return {
    images: sum(({ images }) => images),
    proven: sum(({ proven }) => proven),
    restarts: sum(({ restarts }) => restarts),
    frames: sum(({ frames }) => frames),
    inFlight: sum(({ inFlight }) => inFlight),
    failures,
  };
}

/** Searches until something does not hold; what, and in which run. Undefined when `most` runs find nothing. */
export async function findsSomething(
  code: Code,
  choice: Choice,
  most: number,
  options?: PlayOptions & { readonly seed?: number },
): Promise<{ runs: number; what: string } | undefined> {
  const property = fc.asyncProperty(scenario(choice), async (one) => {
    await play(one, code, options);
  });
  const found = await fc.check(property, { numRuns: most, seed: options?.seed ?? 1, endOnFailure: true });
  if (!found.failed) return undefined;
  if (!(found.errorInstance instanceof Violation)) throw found.errorInstance;
  return { runs: found.numRuns, what: found.errorInstance.message };
}
