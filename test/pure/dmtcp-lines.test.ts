/** The plugin's language: what is understood, and that nothing else is. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import { answerLine, LineReader, MAX_LINE_BYTES, parseReport } from '../../src/dmtcp/lines.js';

test('every report is read', () => {
  expect(parseReport('PRESUSPEND version=1 guest=g-1 pid=7 nics=2')).toEqual({
    word: 'PRESUSPEND',
    version: 1,
    guest: 'g-1',
    pid: 7,
    nics: 2,
  });
  expect(parseReport('PRECHECKPOINT')).toEqual({ word: 'PRECHECKPOINT' });
  expect(parseReport('RESUME image=/a%20b%25c%0ad')).toEqual({ word: 'RESUME', image: '/a b%c\nd' });
  expect(parseReport('RESUME image=')).toEqual({ word: 'RESUME', image: '' });
  expect(parseReport('RESTART version=1 guest=g pid=9 checkpoint=none nics=0')).toMatchObject({
    checkpoint: 'none',
    nics: 0,
  });
  expect(parseReport('ATTACHED nic=3')).toEqual({ word: 'ATTACHED', nic: 3 });
});

test.each([
  '',
  ' ',
  'HELLO',
  'presuspend version=1 guest=g pid=7 nics=1',
  'PRESUSPEND',
  'PRESUSPEND version=1 guest=g pid=7',
  'PRESUSPEND version=1 guest=g pid=7 nics=1 more=1',
  'PRESUSPEND version=1 guest=g pid=7 nics=1 nics=1',
  'PRESUSPEND version=1  guest=g pid=7 nics=1',
  'PRESUSPEND version=one guest=g pid=7 nics=1',
  'PRESUSPEND version=1 guest=../g pid=7 nics=1',
  'PRESUSPEND version=1 guest=g pid=-7 nics=1',
  'PRESUSPEND version=1 guest=g pid=7 nics=99999999999',
  'PRECHECKPOINT nic=1',
  'RESUME image=%zz',
  'RESUME image=%2',
  'RESUME image=a\tb',
  'RESTART version=1 guest=g pid=9 checkpoint=../../etc nics=1',
  'constructor a=b',
  '__proto__ a=b',
])('%j is not understood', (line) => {
  expect(() => parseReport(line)).toThrow(StillwireError);
});

test('any line is read or refused, and nothing else happens', () => {
  fc.assert(
    fc.property(fc.string(), (line) => {
      try {
        parseReport(line);
      } catch (error) {
        expect(error).toBeInstanceOf(StillwireError);
      }
    }),
  );
});

test('an answer is one line that the other side can take, whatever its reason', () => {
  expect(answerLine('GO')).toBe('GO\n');
  expect(answerLine('ATTACH', { nic: 1, vnet: 12 })).toBe('ATTACH nic=1 vnet=12\n');
  expect(answerLine('SKIP', { reason: '50 % of\nthem' })).toBe('SKIP reason=50%20%25%20of%0athem\n');
  fc.assert(
    fc.property(fc.string({ maxLength: 3000, unit: 'binary' }), (reason) => {
      const line = answerLine('REFUSE', { reason });
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(MAX_LINE_BYTES);
      expect(line.indexOf('\n')).toBe(line.length - 1);
    }),
  );
});

test('lines come out whole however they come in, and one that does not end is refused', () => {
  const reader = new LineReader();
  expect(reader.push(Buffer.from('PRE'))).toEqual([]);
  expect(reader.push(Buffer.from('CHECK\nRESUME\nA'))).toEqual(['PRECHECK', 'RESUME']);
  expect(reader.push(Buffer.from('B\n'))).toEqual(['AB']);
  expect(reader.push(Buffer.from(`${'x'.repeat(MAX_LINE_BYTES - 1)}\n`))).toHaveLength(1);
  expect(() => reader.push(Buffer.from(`${'x'.repeat(MAX_LINE_BYTES)}\n`))).toThrow('more than 1024 bytes');
  const slow = new LineReader();
  expect(() => {
    for (let i = 0; i < MAX_LINE_BYTES; i++) slow.push(Buffer.from('x'));
  }).toThrow('more than 1024 bytes');
});
