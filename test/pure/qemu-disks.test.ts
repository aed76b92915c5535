import { expect, test } from 'vitest';
import { isTemporaryOverlay } from '../../src/guest/qemu-disks.js';

const gone = (): boolean => false;
const there = (): boolean => true;
const named = (filename: string): string =>
  `json:${JSON.stringify({ backing: { driver: 'raw' }, driver: 'qcow2', file: { driver: 'file', filename } })}`;

test('the overlay of snapshot=on is known by its name and by being deleted', () => {
  expect(isTemporaryOverlay(named('/var/tmp/vl.Y526Y3'), gone)).toBe(true);
});

test.each([
  ['a file of that name that exists', named('/var/tmp/vl.Y526Y3'), there],
  ["another disk's deleted file", named('/var/tmp/disk.qcow2'), gone],
  ['a plain name', '/var/tmp/vl.Y526Y3', gone],
  ['a name cut off', named('/var/tmp/vl.Y526Y3').slice(0, -5), gone],
  ['a name of another form', 'json:{"driver":"raw"}', gone],
])('%s is a disk', (_what, name, exists) => {
  expect(isTemporaryOverlay(name, exists)).toBe(false);
});
