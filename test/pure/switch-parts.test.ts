/** The small parts of the switch: queue, pace, ledger. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as Row from '../../src/switch/counters.js';
import { imbalances, type PortLedger } from '../../src/switch/ledger.js';
import { Pace } from '../../src/switch/pace.js';
import { FrameQueue, type HeldFrame } from '../../src/hold-queue/queue.js';

const held = (sequence: number, length = 20): HeldFrame => ({
  sequence,
  timeNs: 0n,
  ingress: 'a',
  stored: Buffer.alloc(length),
  restored: false,
});

describe('queue', () => {
  test('first in, first out, through every compaction; bytes counted', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3000), fc.nat(3000)), { maxLength: 12 }), (rounds) => {
        const queue = new FrameQueue();
        let pushed = 0;
        let shifted = 0;
        for (const [push, shift] of rounds) {
          for (let i = 0; i < push; i++) queue.push(held(pushed++));
          const count = Math.min(shift, queue.length);
          queue.shift(count);
          shifted += count;
          expect(queue.length).toBe(pushed - shifted);
          expect(queue.bytes).toBe(20 * (pushed - shifted));
          if (queue.length > 0) {
            expect(queue.at(0).sequence).toBe(shifted);
            expect(queue.at(queue.length - 1).sequence).toBe(pushed - 1);
          }
        }
        expect(queue.frames()).toHaveLength(queue.length);
        expect(queue.clear().map(({ sequence }) => sequence)[0]).toBe(pushed > shifted ? shifted : undefined);
        expect([queue.length, queue.bytes]).toEqual([0, 0]);
      }),
      { numRuns: 30 },
    );
  });
});

/** Frames a pace lets through between `from` and `to`, asked every tenth of a millisecond. */
function passed(pace: Pace, from: number, to: number, sentBefore = 0): number {
  let sent = sentBefore;
  for (let now = from; now < to; now += 0.1) {
    const count = pace.allow(now, 64);
    pace.spend(count);
    sent += count;
    pace.measure(now, sent);
  }
  return sent - sentBefore;
}

describe('pace', () => {
  test('does not limit outside a release', () => {
    expect(new Pace().allow(0, 1_000_000)).toBe(1_000_000);
  });

  test.each([
    ['at no rate that is known', 0, 8],
    ['slowly', 1, 8],
    ['at 10 frames a millisecond', 10, 20],
    ['in no time', 1e9, 64],
  ])(
    'what came %s goes at %f by 2 within bounds after a burst of 64, however long that lasts',
    (_came, came, rate) => {
      for (const ms of [10, 50, 200, 400]) {
        const pace = new Pace();
        pace.begin(1000, came);
        const frames = passed(pace, 1000, 1000 + ms);
        expect(frames).toBeGreaterThan(rate * (ms - 1));
        expect(frames).toBeLessThanOrEqual(rate * ms + 64 + 1);
      }
    },
  );

  test('a busy port gets the rate it had before the hold', () => {
    const pace = new Pace();
    pace.measure(1000, 0);
    pace.measure(1050, 5000); // 100 a millisecond
    pace.begin(1100, 1);
    const frames = passed(pace, 1100, 1200, 5000);
    expect(frames).toBeGreaterThan(100 * 98);
    expect(frames).toBeLessThanOrEqual(100 * 100 + 100);
  });

  test('whatever arrives meanwhile, in bursts of up to a thousand, what was held goes beside it', () => {
    const arrivals = fc.array(fc.oneof(fc.nat(64), fc.nat(1000)), { minLength: 200, maxLength: 200 });
    fc.assert(
      fc.property(arrivals, (turns) => {
        const pace = new Pace();
        const heldFrames = 10_000;
        let waiting = heldFrames;
        pace.begin(0, 0);
        for (const [turn, arrived] of turns.entries()) {
          for (let i = 0; i < arrived; i++) pace.arrived();
          waiting += arrived;
          const count = pace.allow(turn, waiting);
          pace.spend(count);
          waiting -= count;
          expect(waiting).toBeLessThanOrEqual(heldFrames - 64 - 8 * (turn - 8)); // 8: the burst has in it what it saves up
          expect(count).toBeLessThanOrEqual(arrived + 64);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('a long refusal does not save up allowance', () => {
    const pace = new Pace();
    pace.begin(0, 0);
    pace.spend(pace.allow(0, 64));
    expect(pace.allow(10_000, 100_000)).toBeLessThanOrEqual(64);
    for (let i = 0; i < 100_000; i++) pace.arrived(); // nothing is taken, and much arrives
    expect(pace.allow(10_000, 100_000)).toBeLessThanOrEqual(64 + 1024);
  });
});

function ledgerOf(port: string, fill: (row: Float64Array) => void): PortLedger {
  const row = Row.counterRow(Row.counterMemory(), 3);
  fill(row);
  return Row.readLedger(port, row);
}

describe('ledger', () => {
  const set = (row: Float64Array, terms: readonly (readonly [number, number])[]): void => {
    for (const [column, value] of terms) row[column] = value;
  };
  const good = [
    ledgerOf('a', (row) =>
      set(row, [
        [Row.RECEIVED, 10],
        [Row.SWITCHED, 7],
        [Row.COPIES, 9],
        [Row.DISCARDED + 2, 3],
      ]),
    ),
    ledgerOf('b', (row) =>
      set(row, [
        [Row.QUEUED_SWITCHED, 9],
        [Row.SENT, 5],
        [Row.HELD, 3],
        [Row.DROPPED, 1],
      ]),
    ),
  ];

  test('a ledger that comes out has no imbalances', () => {
    expect(imbalances(good)).toEqual([]);
    expect(imbalances([])).toEqual([]);
  });

  test.each([
    ['received', Row.RECEIVED, 'in:'],
    ['switched in', Row.SWITCHED, 'in:'],
    ['a discard', Row.DISCARDED + 4, 'in:'],
    ['copies', Row.COPIES, 'switch:'],
    ['restored', Row.QUEUED_RESTORED, 'out:'],
    ['sentinels', Row.QUEUED_SENTINELS, 'out:'],
    ['sent', Row.SENT, 'out:'],
    ['held', Row.HELD, 'out:'],
    ['a drop', Row.DROPPED + 3, 'out:'],
  ])('one too many in %s is named', (_name, column, word) => {
    const faults = imbalances([...good, ledgerOf('c', (row) => set(row, [[column, 1]]))]);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(word);
  });

  test('rows do not overlap', () => {
    const memory = Row.counterMemory();
    Row.counterRow(memory, 4).fill(9);
    expect(Row.counterRow(memory, 3).some((value) => value !== 0)).toBe(false);
    expect(Row.counterRow(memory, 5).some((value) => value !== 0)).toBe(false);
    expect(Row.counterRow(memory, Row.MAX_PORTS - 1)).toHaveLength(Row.counterRow(memory, 0).length);
  });
});
