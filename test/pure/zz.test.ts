import { test } from 'vitest';
import * as fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { loadCode } from '../model/code.js';
import { play } from '../model/run.js';
import { scenario, type Scenario } from '../model/scenario.js';
test('x', async () => {
  const code = await loadCode();
  if (process.env['REPLAY']) { const [s] = JSON.parse(readFileSync('/tmp/model-sc.json', 'utf8')) as [Scenario]; console.log(await play(s, code).catch((e: unknown) => String(e))); return; }
  const t = performance.now(); let n = 0; const tot: Record<string, number> = {};
  try {
  await fc.assert(fc.asyncProperty(scenario(JSON.parse(process.env['CH'] ?? '{}')), async (s) => { n++; const o = await play(s, code); for (const [k, v] of Object.entries({ ...o, failures: 0, ...o.failures })) tot[k] = (tot[k] ?? 0) + v; }), { numRuns: Number(process.env['N'] ?? 300), seed: Number(process.env['SEED'] ?? 1), endOnFailure: process.env['NOSHRINK'] === '1' });
  } finally { console.log(n, performance.now() - t, tot); }
}, 600000);
