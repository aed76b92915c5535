/**
 * One thing that reads what others wrote. A target is a file of test/fuzz/targets whose default export makes one:
 * arbitrary inputs, best made of valid ones and spoilt, and a check that throws when the program did wrong.
 */
import type * as fc from 'fast-check';

export interface Target<Input> {
  readonly inputs: fc.Arbitrary<Input>;
  /** Throws, or rejects, when what became of this input is a bug. */
  readonly check: (input: Input) => void | Promise<void>;
  /** Removes what the target made. */
  readonly close?: () => Promise<void>;
}

export type MakeTarget = () => Promise<Target<unknown>>;

/** For the default export of a target: hides the type of its inputs, which concerns nobody else. */
export function target<Input>(make: () => Target<Input> | Promise<Target<Input>>): MakeTarget {
  return async () => {
    const made = await make();
    return { ...made, check: (input) => made.check(input as Input) };
  };
}

/** Fails with words: a check's own way to say what is wrong. */
export function wrong(what: string): never {
  throw new Error(what);
}

/** Whether something has been put where every object would have it. */
export function demandCleanPrototypes(): void {
  const names = Object.getOwnPropertyNames(Object.prototype).length;
  if (names !== CLEAN) wrong(`Object.prototype has ${names} properties, not ${CLEAN}`);
}
const CLEAN = Object.getOwnPropertyNames(Object.prototype).length;
