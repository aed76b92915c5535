/** The benchmark's arithmetic: what is compared with what, which way is better, and what `--json` prints. */
import { describe, expect, it } from 'vitest';
import { placementOf, UNPINNED } from '../../src/bench/placement.js';
import { COMPARISONS } from '../../src/bench/plan.js';
import { plainRow, verdict } from '../../src/bench/report.js';
import { judgeRow, type Asked, type Side } from '../../src/bench/row.js';
import { median, quantile, ratios } from '../../src/bench/statistics.js';
import { framesReceived } from '../../src/bench/switch-orders.js';

const side = (...figures: number[]): Side => ({ carrier: 'x', conditions: 'none', figures });
const more: Asked = { name: 'rate', peer: 'x', unit: 'bit/s', floor: 0.75, goal: 0.85, less: false };
const less: Asked = { name: 'time', peer: 'x', unit: 'µs', floor: 1.1, goal: 1, less: true };

describe('statistics', () => {
  it('takes the middle, and between two middles half way', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(quantile([0, 10, 20, 30, 40], 0.99)).toBeCloseTo(39.6);
    expect(() => median([])).toThrow(RangeError);
  });

  it('compares what was measured in the same round', () => {
    expect(ratios([1, 4, 9], [1, 2, 3])).toEqual([1, 2, 3]);
  });
});

describe('a row', () => {
  it('is the median of the ratios, not the ratio of the medians', () => {
    const row = judgeRow(more, 'p', side(1, 20, 3), side(10, 20, 1));
    expect(row.ratio).toBe(1);
    expect(row.spread).toEqual([0.1, 3]);
  });

  it.each([
    [more, 0.74, false, 'MISSED'],
    [more, 0.75, true, 'floor'],
    [more, 0.85, true, 'goal'],
    [less, 1.11, false, 'MISSED'],
    [less, 1.1, true, 'floor'],
    [less, 1, true, 'goal'],
  ] as const)('%o with %d: met %s, %s', (asked, figure, met, word) => {
    const row = judgeRow(asked, 'p', side(figure), side(1));
    expect(row.met).toBe(met);
    expect(verdict(row)).toBe(word);
  });

  it('without a peer judges the figure itself', () => {
    expect(judgeRow(less, 'p', side(0.9, 0.8, 1.4))).toMatchObject({ ratio: 0.9, met: true });
  });

  it('prints exactly what was agreed', () => {
    const row = plainRow(judgeRow(more, 'p', side(0.81234), side(1)));
    expect(row).toEqual({
      name: 'rate',
      peer: 'x',
      ratio: 0.812,
      spread: [0.812, 0.812],
      floor: 0.75,
      goal: 0.85,
      met: true,
    });
  });
});

describe('the plan', () => {
  it('asks of no goal to be easier than its floor, and names each row once', () => {
    for (const { floor, goal, less: down } of COMPARISONS)
      expect(down ? goal <= floor : goal >= floor).toBe(true);
    const names = COMPARISONS.map(({ name, peer }) => `${name} / ${peer}`);
    expect(new Set(names).size).toBe(18);
    expect(names).toHaveLength(18);
  });
});

describe('placement', () => {
  it('is given by role', () => {
    expect(placementOf('0,1,0-1')).toEqual({ sender: '0', receiver: '1', carrier: '0-1' });
    expect(placementOf('none')).toEqual(UNPINNED);
  });

  it.each(['', '0', '0,1', '0,1,1,1', '0,1,x', '0,1,1-'])('refuses %j', (text) => {
    expect(() => placementOf(text)).toThrow(/--pin/);
  });
});

it('adds up what all Ethernet devices have received, and nothing else', () => {
  const text = [
    'Inter-|   Receive                                                |  Transmit',
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs',
    '    lo:     100       7    0    0    0     0          0         0      100       7    0',
    '  eth0:   64000    1000    0    0    0     0          0         0      100       9    0',
    ' eth15:64000      234    0    0    0     0          0         0      100       9    0',
  ].join('\n');
  expect(framesReceived(text)).toBe(1234);
});
