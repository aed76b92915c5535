import { describe, expect, test } from 'vitest';
import { Eagerness } from '../../src/switch/eagerness.js';

/** A thread that has had `cpu` milliseconds; what it was given, in order. */
function thread(nice = 0, permitted = true): { cpu: number; given: number[]; eagerness: Eagerness } {
  const state = { cpu: 0, given: [] as number[] };
  const set = (wanted: number): boolean => {
    if (wanted < nice && !permitted) return false;
    state.given.push(wanted);
    return true;
  };
  return Object.assign(state, {
    eagerness: new Eagerness({ nice: () => nice, set, cpuMs: () => state.cpu }),
  });
}

describe('how eager the switch thread is', () => {
  test('very, from the beginning, and as long as it takes little', () => {
    const it = thread();
    for (let now = 1000; now < 1100; now++) {
      it.cpu += 0.5;
      it.eagerness.look(now);
    }
    expect(it.given).toEqual([-10]);
  });

  test('like everybody while it has most of a processor, and very again after that', () => {
    const it = thread();
    it.eagerness.look(1000);
    for (let now = 1001; now <= 1010; now++) {
      it.cpu += 0.9;
      it.eagerness.look(now);
    }
    expect(it.given).toEqual([-10, 0]);
    for (let now = 1011; now <= 1020; now++) {
      it.cpu += 0.1;
      it.eagerness.look(now);
    }
    expect(it.given).toEqual([-10, 0, -10]);
  });

  test('a burst shorter than the measure changes nothing, nor do looks in quick succession', () => {
    const it = thread();
    it.eagerness.look(1000);
    for (let i = 1; i < 20; i++) {
      it.cpu += 0.1;
      it.eagerness.look(1000 + i / 10);
    }
    it.eagerness.look(1020);
    expect(it.given).toEqual([-10]);
  });

  test('never where it may not be: it keeps the short slices, and asks no more', () => {
    const it = thread(0, false);
    for (let now = 1000; now < 1100; now++) {
      it.cpu += now % 10;
      it.eagerness.look(now);
    }
    expect(it.given).toEqual([0]);
  });

  test('by its own measure: from the nice value that it was given, and no further than there is', () => {
    const [polite, urgent] = [thread(5), thread(-15)];
    for (const it of [polite, urgent]) {
      it.eagerness.look(1000);
      it.cpu += 10;
      it.eagerness.look(1010);
    }
    expect([polite.given, urgent.given]).toEqual([
      [-5, 5],
      [-20, -15],
    ]);
  });

  test('not at all when somebody has given it a policy of another kind', () => {
    const given: number[] = [];
    const eagerness = new Eagerness({
      nice: () => undefined,
      set: (nice) => given.push(nice) > 0,
      cpuMs: () => 0,
    });
    eagerness.look(1000);
    expect(given).toEqual([]);
  });
});
