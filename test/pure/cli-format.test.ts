import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { missingCapabilities } from '../../src/sys/privilege.js';
import { bytes, facts, milliseconds, table } from '../../src/cli/format.js';
import { Progress } from '../../src/cli/progress.js';
import { Channel, printable, type Output } from '../../src/cli/terminal.js';

test('durations and sizes', () => {
  expect([0.04, 0.1, 41.26, 99.99, 100.4, 999, 1000, 61_500].map(milliseconds)).toEqual([
    '0.0 ms',
    '0.1 ms',
    '41.3 ms',
    '100.0 ms',
    '100 ms',
    '999 ms',
    '1.00 s',
    '61.50 s',
  ]);
  expect([0, 1023, 1024, 1536, 1024 ** 2, 3 * 1024 ** 4].map(bytes)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '1.0 MiB',
    '3.0 TiB',
  ]);
});

test('tables: figures to the right, nothing as a dash, no blanks at the end', () => {
  const rows = [
    ['a', 5, undefined],
    ['longer', 12, 'x'],
  ];
  expect(table(['NAME', 'COUNT', 'NOTE'], rows, '  ')).toBe(
    '  NAME    COUNT  NOTE\n  a           5  -\n  longer     12  x',
  );
  expect(table(['NAME'], [])).toBe('NAME');
  expect(
    facts([
      ['a', '1'],
      ['long', undefined],
      ['bb', '2'],
    ]),
  ).toBe('  a   1\n  bb  2');
});

test('nothing but our own colours reaches a terminal', () => {
  expect(printable('a\u001b[31mb\u001b[0m\n\tc')).toBe('a\u001b[31mb\u001b[0m\n\tc');
  expect(printable('\u001b[2J\u001b]0;title\u0007\u009b31m\r')).toBe('?[2J?]0;title??31m?');
});

test('capabilities', () => {
  expect(missingCapabilities('CapEff:\t000001ffffffffff\n')).toEqual([]);
  expect(missingCapabilities('CapEff:\t0000000000003000\n')).toEqual(['CAP_SYS_ADMIN']);
  expect(missingCapabilities('')).toHaveLength(3);
});

describe('progress', () => {
  const outputOf = (terminal: boolean, columns = 80): { output: Output; text: () => string } => {
    const output = Object.assign(new PassThrough(), { isTTY: terminal, columns });
    return { output, text: () => String(output.read() ?? '') };
  };

  test('a line each, where lines are kept', () => {
    const { output, text } = outputOf(false);
    const progress = new Progress(new Channel(output, true), true);
    progress.phase('hold', 0.1);
    progress.step('guest a started');
    progress.end();
    expect(text()).toBe('hold 0.1 ms\nguest a started\n');
  });

  test('one line that is written anew, where it is watched; never wider than the terminal', () => {
    const { output, text } = outputOf(true, 23);
    const progress = new Progress(new Channel(output, false), true);
    for (const phase of ['hold', 'drain', 'stop']) progress.phase(phase, 1);
    progress.end();
    progress.end();
    // `drain 1.0 ms · stop 1.0 ms` would fill it.
    expect(text()).toBe('\r\u001b[Khold 1.0 ms\r\u001b[Kdrain 1.0 ms\r\u001b[Kstop 1.0 ms\n');
  });

  test('nothing when quiet', () => {
    const { output, text } = outputOf(true);
    const progress = new Progress(new Channel(output, true), false);
    progress.phase('hold', 1);
    progress.end();
    expect(text()).toBe('');
  });
});
