import { Session } from 'node:inspector';
import * as fc from 'fast-check';
import { test, vi } from 'vitest';
import { loadCode } from '../model/code.js';
import { play } from '../model/run.js';
import { scenario } from '../model/scenario.js';
vi.mock('../../src/sys/memory.js', async (original) => {
  const { oneArena } = await import('../model/one-arena.js');
  return oneArena(await original());
});
test('x', async () => {
  const code = await loadCode();
  const t = performance.now(); let n = 0; const tot: Record<string, number> = {};
  const ses = new Session(); ses.connect(); if (process.env['PROF']) { ses.post('Profiler.enable'); ses.post('Profiler.start'); }
  try {
  await fc.assert(fc.asyncProperty(scenario(JSON.parse(process.env['CH'] ?? '{}')), async (s) => { n++; const o = await play(s, code, (process.env['ST'] ?? 'atOnce') as 'atOnce'); for (const [k, v] of Object.entries({ ...o, failures: 0, ...o.failures })) tot[k] = (tot[k] ?? 0) + v; }), { numRuns: Number(process.env['N'] ?? 300), seed: Number(process.env['SEED'] ?? 1), endOnFailure: process.env['NOSHRINK'] === '1' });
  } finally { if (process.env['PROF']) ses.post('Profiler.stop', (_e, { profile: p }) => { const self: Record<number, number> = {}; p.samples!.forEach((id, i) => (self[id] = (self[id] ?? 0) + p.timeDeltas![i]!)); const by: Record<string, number> = {}; for (const x of p.nodes) { const k = x.callFrame.functionName + ' ' + x.callFrame.url.slice(-40) + ':' + x.callFrame.lineNumber; by[k] = (by[k] ?? 0) + (self[x.id] ?? 0); } console.log(Object.entries(by).sort((a, b) => b[1] - a[1]).slice(0, 25).map(([k, v]) => (v / 1000).toFixed(0) + ' ' + k).join('\n')); });
 console.log(n, performance.now() - t, tot); }
}, 300000);
