/** The real sequence, switch and crew in a simulated world: searched for a wrong interleaving, and none found. */
import { beforeAll, expect, test } from 'vitest';
import { loadCode, type Code } from '../model/code.js';
import { findsNothing, findsSomething, PATIENCE } from '../model/search.js';

let code: Code;
beforeAll(async () => {
  code = await loadCode();
}, PATIENCE);

test(
  'a run is decided by its scenario alone',
  async () => {
    const once = await findsNothing(code, { unready: ['fail'] }, 20);
    expect(await findsNothing(code, { unready: ['fail'] }, 20)).toEqual(once);
  },
  PATIENCE,
);

test(
  'cuts with guests of every kind and everything going wrong: no orphan, nothing lost or doubled, order, nobody stuck',
  async () => {
    const { images, proven, restarts, inFlight, failures } = await findsNothing(
      code,
      { unready: ['fail'] },
      400,
    );
    // It means something: cuts were made, with frames in flight, and every way of failing occurred.
    expect(images).toBeGreaterThan(100);
    expect(proven).toBeGreaterThan(100);
    expect(restarts).toBeGreaterThan(30);
    expect(inFlight).toBeGreaterThan(images);
    expect(Object.keys(failures)).toEqual(
      expect.arrayContaining([
        'PORT_UNREADY',
        'GUEST_DIED',
        'GUEST_FAILED',
        'HOLD_EXPIRED',
        'HOLD_OVERFLOW',
        'NETWORK_BUSY',
        'NOT_PROVEN',
        'INTERNAL', // the caller's abort
      ]),
    );
  },
  PATIENCE,
);

test(
  'receive queues that run over: lost is only what was dropped, and a cut with such a loss is not proven',
  async () => {
    const { images, proven } = await findsNothing(code, { unready: ['fail'], room: [2, 5] }, 150);
    expect(proven).toBeGreaterThan(10);
    expect(images).toBeGreaterThan(proven);
  },
  PATIENCE,
);

test(
  'unready guests whose frames are kept: slow, paused and deaf ones, and some that wake up in the middle of it',
  async () => {
    const happenings = ['death', 'stopUnheard', 'saveFails', 'driver', 'abort', 'overlap'] as const;
    const { images, proven } = await findsNothing(code, { unready: ['keep'], happenings }, 150);
    expect(images).toBeGreaterThan(proven); // what was taken back is never called proven
  },
  PATIENCE,
);

test(
  'unready guests that are not just slow, and everything going wrong',
  async () => {
    const happenings = [
      'death',
      'stopFails',
      'stopUnheard',
      'saveFails',
      'lease',
      'overflow',
      'abort',
      'overlap',
    ] as const;
    const choice = { unready: ['keep'], readMs: [0.01, 0.05], starvedMs: [0.2], happenings } as const;
    const { images } = await findsNothing(code, choice, 150);
    expect(images).toBeGreaterThan(50);
  },
  PATIENCE,
);

test(
  'hypervisors that get no processor for longer than the drain waits',
  async () => {
    const choice = { unready: ['keep'], starvedMs: [20, 120], happenings: [] } as const;
    await findsNothing(code, choice, 60);
  },
  PATIENCE,
);

test(
  'quiet makes no orphans and doubles nothing, but it loses, and says that it proves nothing',
  async () => {
    const quiet = { methods: ['quiet'], unready: ['fail'] } as const;
    const { images, proven } = await findsNothing(code, quiet, 80);
    expect(images).toBeGreaterThan(30);
    expect(proven).toBe(0);
    const calm = { ...quiet, happenings: [], idle: false };
    expect((await findsSomething(code, calm, 200, { strict: true }))?.what).toMatch(/lost/);
  },
  PATIENCE,
);
