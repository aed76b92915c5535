/** What helpers of the pure suite ask of vitest, where there is no vitest. */
import assert from 'node:assert/strict';

/** Nothing ends between two cases; a target cleans up after itself. */
export const afterEach = (): void => undefined;

export const expect = (actual: unknown) => ({
  toEqual: (expected: unknown): void => assert.deepEqual(actual, expected),
});
