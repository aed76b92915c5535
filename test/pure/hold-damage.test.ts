/** Hold files that no daemon wrote like this: cut off, overwritten, made up. Recovery gives frames or none, never more than there were. */
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InflightFrame } from '../../src/frame/types.js';
import * as File from '../../src/hold-queue/layout.js';
import { HoldStore } from '../../src/hold-queue/store.js';
import { Bench } from './bench.js';
import { frame } from './frames.js';
import { newPath, owedTo, recoverBytes, removeDirectory, snapshot } from './hold-store.fixture.js';

afterAll(removeDirectory);

const FRAMES = 2000;
let whole: Buffer;
let written: ReadonlySet<string>;

const key = ({ bytes, destinations }: InflightFrame, to: string): string =>
  destinations.includes(to) ? `${to} ${Buffer.from(bytes).toString('hex', 0, 24)}` : '';

beforeAll(async () => {
  const path = newPath();
  const bench = new Bench([{ id: 'a' }, { id: 'b' }, { id: 'c' }], 'forward', new HoldStore(path));
  bench.core.hold();
  for (let n = 1; n <= FRAMES; n++) bench.send('a', frame(n, { length: 60 + ((n * 37) % 2000) }));
  whole = snapshot(path);
  const recovered = await recoverBytes(whole);
  expect(recovered).toHaveLength(FRAMES);
  written = new Set(recovered.flatMap((one) => [key(one, 'b'), key(one, 'c')]));
  bench.core.close();
});

function expectSound(frames: readonly InflightFrame[]): void {
  const unsound = frames.filter(({ sequence, bytes, vnet, destinations, ingress }, i) => {
    const ascending = i === 0 || sequence > frames[i - 1]!.sequence;
    const once = destinations.length > 0 && new Set(destinations).size === destinations.length;
    return !ascending || !once || vnet.length !== 10 || bytes.length < 60 || typeof ingress !== 'string';
  });
  expect(unsound).toEqual([]);
}

test('cut off anywhere: a beginning of what was owed', async () => {
  const end = File.SEGMENTS_AT + 3 * File.SEGMENT_BYTES;
  await fc.assert(
    fc.asyncProperty(fc.nat(end), async (length) => {
      const frames = await recoverBytes(whole.subarray(0, length));
      expectSound(frames);
      const owed = owedTo(frames).get('b') ?? [];
      expect(owed).toEqual(Array.from({ length: owed.length }, (_, i) => i + 1));
    }),
    { numRuns: 60, examples: [[0], [File.SEGMENTS_AT], [File.SEGMENTS_AT + 8]] },
  );
}, 30_000);

const damage = fc.record({
  at: fc.oneof(
    fc.nat(64),
    fc.integer({ min: File.NOTES_AT, max: File.NAMES_AT + 64 }),
    fc.nat(3 * File.SEGMENT_BYTES),
  ),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 64 }),
  far: fc.boolean(),
});

test('overwritten anywhere: it never throws, and delivers nothing in a wrong shape', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 20 }), async (damages) => {
      const file = Buffer.from(whole);
      for (const { at, bytes, far } of damages)
        file.set(bytes, Math.min(far ? File.SEGMENTS_AT + at : at, file.length - 64));
      expectSound(await recoverBytes(file));
    }),
    { numRuns: 100 },
  );
}, 30_000);

test('words overwritten by hostile numbers', async () => {
  const word = fc.record({
    index: fc.oneof(
      fc.nat(16),
      fc.integer({ min: File.HEADS_AT / 4, max: File.HEADS_AT / 4 + 4 }),
      fc.integer({ min: File.SEGMENTS_AT / 4, max: File.SEGMENTS_AT / 4 + 400 }),
    ),
    value: fc.constantFrom(
      0,
      1,
      -1,
      0x7fffffff,
      -0x80000000,
      File.SEGMENT_BYTES,
      File.SEGMENT_BYTES + 8,
      0x01ffffff,
      0x02000000,
      0x0100000a,
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 10 }), async (words) => {
      const file = Buffer.from(whole);
      for (const { index, value } of words) file.writeInt32LE(value, 4 * index);
      expectSound(await recoverBytes(file));
    }),
    { numRuns: 100 },
  );
}, 30_000);

test('one damaged entry costs its own frame only', async () => {
  const file = Buffer.from(whole);
  const at = file.indexOf(frame(1500, { length: 60 + ((1500 * 37) % 2000) }).subarray(0, 24));
  file.writeUInt32LE(0xffffffff, at - 10 - File.FRAME_HEAD_BYTES + 8); // its sequence
  const frames = await recoverBytes(file);
  expectSound(frames);
  expect(frames).toHaveLength(FRAMES - 1);
  for (const one of frames) expect(written.has(key(one, 'b'))).toBe(true);
});

test('a file of entries without end takes no more than a few times its size', async () => {
  const segments = 8;
  const file = Buffer.alloc(File.SEGMENTS_AT + segments * File.SEGMENT_BYTES);
  whole.copy(file, 0, 0, File.SEGMENTS_AT + File.SEGMENT_BYTES);
  const place = File.SEGMENTS_AT + File.SEGMENT_HEADER_BYTES; // the first frame
  for (let s = 1; s < segments; s++) {
    const base = File.segmentAt(s);
    file.writeUInt32LE(s + 1, base);
    file.writeInt32LE(File.SEGMENT_BYTES, base + 4);
    for (let at = 16; at < File.SEGMENT_BYTES; at += 16) {
      file.writeUInt32LE((File.ENTRY_KIND << File.KIND_SHIFT) | (at % 3), base + at);
      file.writeInt32LE(s * 65_536 + at / 16, base + at + 4);
      file.writeUInt32LE(place, base + at + 8);
      file.writeUInt32LE(1, base + at + 12);
    }
  }
  const before = process.memoryUsage().heapUsed;
  expectSound(await recoverBytes(file));
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(20 * file.length);
});
