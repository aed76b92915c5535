/** One step of the real code dropped or moved, the judge unchanged: each must be found. */
import { expect, test } from 'vitest';
import { plant } from '../model/plant.js';
import { PLANTED } from '../model/planted-bugs.js';
import { findsSomething, PATIENCE } from '../model/search.js';

/** A bug that takes longer to be found is not found. */
const MOST_RUNS = 400;

test.each(PLANTED)(
  '$name',
  async ({ patches, choice, harm }) => {
    const found = await findsSomething(await plant(patches), choice, MOST_RUNS);
    expect(found?.what, `in ${MOST_RUNS} runs`).toMatch(harm);
  },
  PATIENCE,
);

test('a bug that no longer fits the code is told at once', async () => {
  const patch = { file: 'quiesce/sequence.ts', find: 'await everything();', put: '' };
  await expect(plant([patch])).rejects.toThrow(/no longer fits quiesce\/sequence\.ts: found 0 times/);
  await expect(plant([{ ...patch, find: 'await' }])).rejects.toThrow(/found \d\d+ times, not once/);
  await expect(plant([{ ...patch, file: 'quiesce/gone.ts' }])).rejects.toThrow(/gone/);
});
