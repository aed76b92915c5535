/** One step of the real code dropped or moved, the judge unchanged: each must be found. */
import { expect, test, vi } from 'vitest';
import { loadCode } from '../model/code.js';
import { plant } from '../model/plant.js';
import { PLANTED } from '../model/planted-bugs.js';
import { findsSomething, PATIENCE } from '../model/search.js';

vi.mock('../../src/sys/memory.js', async (original) => {
  const { oneArena } = await import('../model/one-arena.js');
  return oneArena(await original());
});

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

// Not of this code yet: what the contract of recall leaves to whoever implements it (docs/model.md).

test(
  'a recall that takes what the hypervisor took for lost at once doubles it',
  async () => {
    const choice = { unready: ['keep'], happenings: [] } as const;
    const found = await findsSomething(await loadCode(), choice, MOST_RUNS, { settling: 'atOnce' });
    expect(found?.what).toMatch(/doubled/);
  },
  PATIENCE,
);

test(
  'a recall whose sequence fails between it and the sweep loses it, if the guest was only slow',
  async () => {
    const choice = {
      unready: ['keep'],
      happenings: ['stopUnheard', 'death', 'lease'],
      phases: ['stop'],
    } as const;
    const found = await findsSomething(await loadCode(), choice, MOST_RUNS);
    expect(found?.what).toMatch(/lost/);
  },
  PATIENCE,
);
