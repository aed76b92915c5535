import { describe, expect, test } from 'vitest';
import { BURST, FrameList } from '../../src/port/batch.js';
import { Appetite } from '../../src/port/appetite.js';
import { Pressure } from '../../src/switch/pressure.js';

const burst = (count: number, length: number): FrameList => {
  const list = new FrameList();
  for (let i = 0; i < count; i++) list.add(0, 0, length);
  return list;
};

describe('which ports are busy', () => {
  test('one that brings frames faster than they are worth a wake-up, from the next look on', () => {
    const pressure = new Pressure(2);
    pressure.note(0, 1, 1000);
    for (let t = 1; t < 10; t++) expect(pressure.note(0, 10, 1000 + t / 10)).toBe(false); // not yet a millisecond
    expect(pressure.note(0, 10, 1001)).toBe(true);
    expect(pressure.note(1, 1, 1001)).toBe(false);
    expect(pressure.note(0, 1, 1002)).toBe(false); // the flood has ended
  });

  test('never one whose machine waits for an answer to each', () => {
    const pressure = new Pressure(1);
    for (let t = 0; t < 1000; t++) expect(pressure.note(0, 1, 5000 + t / 50)).toBe(false);
  });

  test('nor one that has long been quiet, however much comes at once', () => {
    const pressure = new Pressure(1);
    pressure.note(0, 1, 1000);
    expect(pressure.note(0, BURST, 1100)).toBe(false);
  });
});

describe('how many frames a port asks for', () => {
  test('a whole burst of small ones, a cacheful of long ones, a few of the longest', () => {
    const appetite = new Appetite();
    expect(appetite.frames).toBe(BURST);
    appetite.note(burst(BURST, 60), BURST);
    expect(appetite.frames).toBe(BURST);
    appetite.note(burst(10, 1514), BURST);
    expect(appetite.frames).toBe(BURST);
    appetite.note(burst(10, 16_384), BURST);
    expect(appetite.frames).toBe(16);
    appetite.note(burst(16, 65_000), 16);
    expect(appetite.frames).toBe(4);
    appetite.note(burst(0, 0), 4); // nothing came, nothing is known
    expect(appetite.frames).toBe(4);
  });

  test('a burst of all that was asked for may have left something behind', () => {
    const appetite = new Appetite();
    const full = (count: number, asked: number): boolean => {
      const list = burst(count, 60);
      appetite.note(list, asked);
      return list.full;
    };
    expect([full(64, 64), full(63, 64), full(4, 4), full(0, 4), full(1, 1)]).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
  });
});
