/** Counterexamples that the model has found, as they were shrunk; each failed before the code was mended. */
import { beforeAll, test } from 'vitest';
import { loadCode, type Code } from '../model/code.js';
import { play } from '../model/run.js';
import type { AttemptPlan, GuestPlan } from '../model/scenario.js';
import { PATIENCE } from '../model/search.js';

let code: Code;
beforeAll(async () => {
  code = await loadCode();
}, PATIENCE);

const guest = (over: Partial<GuestPlan> = {}): GuestPlan => ({
  readMs: 0.01,
  slots: 64,
  bridges: false,
  answers: true,
  known: true,
  kernelProof: true,
  tso: false,
  window: 16,
  room: 1e9,
  starvedMs: 0.2,
  unready: false,
  paused: false,
  everyMs: 0.1,
  floods: 1e9,
  segments: 1,
  asks: false,
  ...over,
});

const attempt = (over: Partial<AttemptPlan>, drainMs: number): AttemptPlan => ({
  kind: 'inPlace',
  method: 'count',
  unready: 'keep',
  requireProof: false,
  bounds: { drainMs, lingerMs: 0, quietMs: 1 },
  gap: 0,
  interruptions: [],
  ...over,
});

test('a recall is decided while all is stopped, also when the cut is refused before the mark', async () => {
  const guests = [guest({ readMs: 1.5, slots: 1, segments: 2 }), guest({ readMs: 1.5, slots: 1 })];
  const attempts = [attempt({}, 100), attempt({ requireProof: true }, 30)];
  await play({ seed: 0, guests, attempts }, code);
});

test('an abort between the recall and the stop doubles nothing for a guest that is only slow', async () => {
  const guests = [
    guest({ readMs: 1.5, slots: 1 }),
    guest({ window: 4, asks: true }),
    guest({ known: false, segments: 2 }),
  ];
  const interruptions = [{ what: 'abort', guest: 0, phase: 'recall', delay: 0 }] as const;
  await play(
    { seed: 0, guests, attempts: [attempt({ method: 'cookie', gap: 0.5, interruptions }, 8)] },
    code,
  );
});

test('what was seen at the mark stays decided when guests run on one before the other and a save fails', async () => {
  const guests = [guest(), guest({ floods: 4 }), guest({ readMs: 1.5, slots: 8, segments: 2 }), guest()];
  const interruptions = [
    { what: 'saveFails', guest: 0, phase: 'hold', delay: 0 },
    { what: 'death', guest: 0, phase: 'release', delay: 0 },
  ] as const;
  const attempts = [
    attempt({ method: 'cookie' }, 100),
    attempt({ kind: 'background', gap: 3, interruptions }, 8),
  ];
  await play({ seed: 739426422, guests, attempts }, code);
});
