/** Which frame a hypervisor had taken, worked out from what lay unread behind it. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSameFrame, partOf, partsOf } from '../../src/frame/super-frame.js';
import { FRAME_OFFSET, FrameMemory } from '../../src/port/batch.js';
import { takenBefore } from '../../src/port/recall.js';
import { Shadow } from '../../src/port/shadow.js';
import { frame } from './frames.js';
import { finished, superFrame } from './super-frames.js';

const memory = new FrameMemory();
const plain = (n: number): Buffer => Buffer.concat([Buffer.alloc(10), frame(n)]);

function shadowOf(sent: readonly Buffer[]): Shadow {
  const shadow = new Shadow(64, 1 << 16);
  for (const stored of sent) {
    const slot = memory.stage(0, stored);
    shadow.push(memory, slot, slot + FRAME_OFFSET, stored.length - 10);
  }
  return shadow;
}

/** What the kernel puts into the ring. */
const entriesOf = (stored: Buffer, whole: boolean): Buffer[] =>
  whole || partsOf(stored) === undefined
    ? [stored]
    : Array.from({ length: partsOf(stored)! }, (_, i) => finished(partOf(stored, i)!));

/** The same frame, whether or not its checksum is finished. */
const sameAs = (wanted: Buffer | undefined, found: Buffer | undefined): boolean =>
  wanted === undefined || found === undefined ? wanted === found : isSameFrame(found, wanted);

const superFrameKind = fc.record({
  parts: fc.integer({ min: 1, max: 6 }),
  version: fc.constantFrom(4, 6),
  tag: fc.boolean(),
});
/** Plain ones are all alike. */
const sentFrames = fc
  .array(fc.option(superFrameKind, { nil: undefined }), { minLength: 1, maxLength: 12 })
  .map((kinds) => kinds.map((kind, n) => (kind === undefined ? plain(7) : superFrame(n, kind))));

test('it is the entry before the first unread, whatever was sent and however it was segmented', () => {
  fc.assert(
    fc.property(sentFrames, fc.boolean(), fc.nat(), (sent, whole, cut) => {
      const entries = sent.flatMap((stored) => entriesOf(stored, whole));
      const read = cut % entries.length;
      const taken = takenBefore(shadowOf(sent), entries.slice(read), () => whole);
      expect(sameAs(entries[read - 1], taken)).toBe(true);
    }),
    { numRuns: 500, seed: 77 },
  );
});

describe('it claims nothing', () => {
  const [a, b, c] = [plain(1), plain(2), plain(3)];

  test('when nothing was sent before', () => {
    expect(takenBefore(shadowOf([a, b]), [a, b], () => true)).toBeUndefined();
  });

  test('when the guest has read from among those that were taken back', () => {
    expect(takenBefore(shadowOf([a, b, c]), [a, c], () => true)).toBeUndefined();
    expect(takenBefore(shadowOf([a, b, c]), [b], () => true)).toBeUndefined();
  });

  test('when more lay there than it knows', () => {
    expect(takenBefore(shadowOf([b]), [a, b], () => true)).toBeUndefined();
  });

  test('when a super-frame is of a kind it cannot cut', () => {
    const odd = superFrame(1, { parts: 3, version: 4, tag: false });
    odd[1] = 5; // UDP
    expect(takenBefore(shadowOf([a, odd, b]), [b], () => false)).toBeUndefined();
    expect(takenBefore(shadowOf([a, odd, b]), [b], () => true)).toEqual(odd);
  });
});

test('the frame before a restart is still known', () => {
  const shadow = shadowOf([plain(1)]);
  shadow.restart();
  const slot = memory.stage(0, plain(2));
  shadow.push(memory, slot, slot + FRAME_OFFSET, 60);
  expect(takenBefore(shadow, [plain(2)], () => true)).toEqual(plain(1));
});

test('a header that lies about its frame is no super-frame', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 10, maxLength: 10 }),
      fc.uint8Array({ minLength: 60, maxLength: 120 }),
      (vnet, bytes) => {
        const stored = Buffer.concat([vnet, bytes]);
        for (let i = 0; i < Math.min(partsOf(stored) ?? 0, 3); i++) expect(partOf(stored, i)).toBeDefined();
        isSameFrame(stored, stored);
        takenBefore(shadowOf([stored, stored]), [stored], () => false);
      },
    ),
    { numRuns: 2000, seed: 5 },
  );
});
