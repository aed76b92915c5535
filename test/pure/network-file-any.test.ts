/** Arbitrary texts: a network file is the one input that people write by hand, and it is read as root. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { StillwireError } from '../../src/errors/index.js';
import type { Fault } from '../../src/definition/file.js';
import { faultsOf, FULL, parse } from './network-file.fixture.js';

describe('any text gives a network or FILE_INVALID', () => {
  const holds = (text: string): void => {
    let message: string;
    let faults: Fault[];
    try {
      const { definition } = parse(text);
      expect(JSON.parse(JSON.stringify(definition))).toStrictEqual(definition);
      return;
    } catch (error) {
      if (!(error instanceof StillwireError) || error.code !== 'FILE_INVALID') throw error;
      message = error.message;
      faults = faultsOf(error);
    }
    const lines = text.split('\n');
    expect(faults.length).toBeGreaterThan(0);
    expect(message.split('\n').length).toBe(faults.length);
    for (const { line, column } of faults) {
      expect(line).toBeGreaterThanOrEqual(1);
      expect(line).toBeLessThanOrEqual(lines.length);
      expect(column).toBeGreaterThanOrEqual(1);
      expect(column).toBeLessThanOrEqual(lines[line - 1]!.length + 1);
    }
  };

  test('whatever it says', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), holds), { numRuns: 500 });
  });

  test('whatever is put together from the marks of YAML', () => {
    const marks = fc.constantFrom(
      ...'segments guests nics ports lan __proto__ : - ? { } [ ] &a *a !!str !x " << # ~ 1 0x1 .nan true'.split(
        ' ',
      ),
      ...[
        ': ',
        '- ',
        ', ',
        ' ',
        '  ',
        '\t',
        '\n',
        '\r\n',
        '|\n',
        '>-\n',
        '---\n',
        '...\n',
        '%YAML 1.1\n',
        '\0',
        "'",
      ],
    );
    const text = fc.array(marks, { maxLength: 40 }).map((words) => words.join(''));
    fc.assert(fc.property(text, holds), { numRuns: 2000 });
  });

  test('whatever values it has', () => {
    fc.assert(
      fc.property(fc.anything({ maxDepth: 4, withNullPrototype: false }), (value) => {
        let text: unknown; // undefined for undefined
        try {
          text = stringify(value);
        } catch {
          return; // What YAML cannot write (a Symbol) no file can say.
        }
        if (typeof text === 'string') holds(text);
      }),
      { numRuns: 500 },
    );
  });

  test('whatever stands in place of one value of a good file', () => {
    const keys = fc.constantFrom(...FULL.matchAll(/(?<=: )[^\s{}[\],]+/g));
    const value = fc.oneof(
      fc.json({ maxDepth: 3 }),
      fc.constantFrom(
        '-1',
        '0',
        '1e999',
        '.inf',
        '~',
        '&x 1',
        '*x',
        '!!int "3"',
        '"\\0"',
        '52:54:00:00:00:01',
        'a',
        '|',
      ),
      fc.string(),
    );
    fc.assert(
      fc.property(keys, value, (match, other) =>
        holds(FULL.slice(0, match.index) + other + FULL.slice(match.index + match[0].length)),
      ),
      { numRuns: 500 },
    );
  }, 30_000);
});
