/** The clock of a turn, and the timer that ends a silence. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Timekeeper } from '../../src/switch/timekeeper.js';
import { isReadable, monotonicMs, pause } from '../../src/sys/index.js';

let time: Timekeeper;
beforeEach(() => {
  time = new Timekeeper();
});
afterEach(() => time.close());

/** Milliseconds until the timer rings; fails after a second. */
function ringsAfter(): number {
  const from = monotonicMs();
  while (!isReadable(time.fd)) {
    if (monotonicMs() - from > 1000) throw new Error('it does not ring');
    pause(1);
  }
  return monotonicMs() - from;
}

test('a turn that does not look is told the time of the last look, one that does looks once', () => {
  const before = time.now;
  pause(2);
  time.pass();
  expect(time.now).toBe(before);
  const now = time.look();
  expect(now).toBeGreaterThanOrEqual(before + 2);
  pause(2);
  expect(time.look()).toBe(now);
  expect(time.now).toBe(now);
});

test('what is due soon is waited for by whoever waits, and sets no timer', () => {
  expect([time.wake(0), time.wake(0.1004), time.wake(4)]).toEqual([0, 101, 4000]);
  pause(10);
  expect(isReadable(time.fd)).toBe(false);
});

test('what is due later rings, not before; then it is silent until it is set again', () => {
  time.pass();
  const due = time.look() + 20;
  expect(time.wake(20)).toBe(Number.POSITIVE_INFINITY);
  ringsAfter();
  time.rang();
  expect(time.now).toBeGreaterThanOrEqual(due);
  expect(isReadable(time.fd)).toBe(false);
  pause(30);
  expect(isReadable(time.fd)).toBe(false);
});

test('something sooner takes the place of something later, and something later does not put it off', () => {
  time.pass();
  const from = time.look();
  time.wake(200);
  time.wake(10);
  for (let i = 0; i < 5; i++) time.wake(150);
  ringsAfter();
  time.rang();
  expect(time.now - from).toBeGreaterThanOrEqual(10);
  expect(time.now - from).toBeLessThan(150);
});

test('a silence ends by itself, so that the time told is never much older than the timer', () => {
  time.wake();
  ringsAfter();
  time.rang();
  expect(monotonicMs() - time.now).toBeLessThan(250);
});
