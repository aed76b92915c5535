import { test, vi } from 'vitest';
import { readFileSync } from 'node:fs';
import { loadCode } from '../model/code.js';
import { play } from '../model/run.js';
import type { Scenario } from '../model/scenario.js';
vi.mock('../../src/sys/memory.js', async (original) => {
  const { oneArena } = await import('../model/one-arena.js');
  return oneArena(await original());
});
test('r', async () => {
  const code = await loadCode();
  const [s] = JSON.parse(readFileSync('/tmp/model-sc.json', 'utf8')) as [Scenario];
  (globalThis as { TR?: unknown }).TR = (t: string) => console.log(t);
  console.log(await play(s, code, (process.env['ST'] ?? 'atOnce') as 'atOnce').catch((e: unknown) => String(e)));
}, 300000);
