import * as fc from 'fast-check';
import { test, vi } from 'vitest';
import { plant } from '../model/plant.js';
import { PLANTED } from '../model/planted-bugs.js';
import { play } from '../model/run.js';
import { scenario } from '../model/scenario.js';
vi.mock('../../src/sys/memory.js', async (original) => {
  const { oneArena } = await import('../model/one-arena.js');
  return oneArena(await original());
});
test('p', async () => {
  for (const { name, patches, choice } of PLANTED) {
    if (!name.includes(process.env['ONLY'] ?? '')) continue;
    const t0 = performance.now();
    const code = await plant(patches);
    const t1 = performance.now();
    const found: string[] = [];
    for (const seed of [1, 2, 3, 4, 5]) {
      const out = await fc.check(fc.asyncProperty(scenario(choice ?? { unready: ['fail'] }), async (s) => { await play(s, code, 'afterStop'); }), { numRuns: 300, seed, endOnFailure: true });
      found.push(out.failed ? String(out.numRuns) + (seed === 1 ? ' ' + String((out.errorInstance as Error).message).slice(0, 110) : '') : 'NOT');
    }
    console.log(name, '|', found.join(' | '), Math.round(t1 - t0), Math.round(performance.now() - t1));
  }
}, 600000);
