import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { LineSplitter } from '../../src/guest/qmp-lines.js';

const text = fc.string({ unit: 'binary' }).filter((line) => !line.includes('\n'));

test('lines come out whole however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(text), fc.array(fc.nat({ max: 20 })), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
      const splitter = new LineSplitter(1 << 20);
      const seen: string[] = [];
      let at = 0;
      for (const cut of cuts) seen.push(...splitter.push(bytes.subarray(at, (at += cut))));
      seen.push(...splitter.push(bytes.subarray(at)));
      expect(seen).toEqual(lines.map((line) => Buffer.from(line).toString()));
      expect(splitter.pending).toBe(0);
    }),
  );
});

test('a line of the limit passes, one byte more does not, ended or not', () => {
  expect(new LineSplitter(4).push(Buffer.from('abcd\n'))).toEqual(['abcd']);
  expect(() => new LineSplitter(4).push(Buffer.from('abcde\n'))).toThrow(RangeError);
  const splitter = new LineSplitter(4);
  splitter.push(Buffer.from('abcd'));
  expect(splitter.pending).toBe(4);
  expect(() => splitter.push(Buffer.from('e'))).toThrow(RangeError);
});
