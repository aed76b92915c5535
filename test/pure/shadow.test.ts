/** The shadow against a model of a few lines, and what is worked out from it. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { FRAME_OFFSET, FrameMemory } from '../../src/port/batch.js';
import { Shadow } from '../../src/port/shadow.js';

const ENTRIES = 12;
const BYTES = 20_000;
const memory = new FrameMemory();

type Step = { do: 'push'; length: number; shift: number } | { do: 'restart' | 'startBehind' | 'startAnew' };
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('push'),
      length: fc.oneof(fc.integer({ min: 14, max: 200 }), fc.constantFrom(1514, 9014, 65_600)),
      shift: fc.constantFrom(-4, 0, 4), // a tag put in or taken off
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('restart', 'startBehind', 'startAnew') }) },
);

test('it knows what was sent since it was restarted, and the one before', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const shadow = new Shadow(ENTRIES, BYTES);
      let before: Buffer | undefined;
      let sent: Buffer[] = [];
      let bytes = 0;
      let number = 0;
      for (const one of steps) {
        number++;
        if (one.do === 'push') {
          bytes += one.length;
          if (sent.length === ENTRIES || bytes > BYTES) continue; // whoever sends keeps to the bounds
          const stored = Buffer.alloc(10 + one.length, number);
          stored.writeUInt32BE(number, one.length + 6);
          const slot = memory.stagingSlot(number % 64);
          memory.bytes.set(stored.subarray(0, 10), slot);
          memory.bytes.set(stored.subarray(10), slot + FRAME_OFFSET + one.shift);
          shadow.push(memory, slot, slot + FRAME_OFFSET + one.shift, one.length);
          memory.bytes.fill(0xee, slot, slot + one.length); // the slot is used again
          sent.push(stored);
          continue;
        }
        if (one.do === 'restart') before = sent.at(-1) ?? before;
        else {
          before = one.do === 'startBehind' ? Buffer.alloc(100, number) : undefined;
          shadow.startBehind(before);
        }
        if (one.do === 'restart') shadow.restart();
        sent = [];
        bytes = 0;
        const known = before === undefined ? sent : [before, ...sent];
        expect(shadow.length).toBe(known.length);
      }
      const known = before === undefined ? sent : [before, ...sent];
      expect(shadow.length).toBe(known.length);
      for (const [i, frame] of known.entries()) expect(shadow.at(i).equals(frame), `frame ${i}`).toBe(true);
    }),
    { numRuns: 300, seed: 31 },
  );
});

test('beyond its bounds it begins anew, and never holds a frame that was not sent', () => {
  const shadow = new Shadow(4, 1000);
  const slot = memory.stagingSlot(0);
  for (let n = 0; n < 50; n++) {
    memory.bytes.fill(n, slot, slot + FRAME_OFFSET + 300);
    shadow.push(memory, slot, slot + FRAME_OFFSET, 300);
    const last = shadow.at(shadow.length - 1);
    expect(last.equals(Buffer.alloc(310, n))).toBe(true);
    expect(shadow.length).toBeLessThanOrEqual(5);
  }
});
