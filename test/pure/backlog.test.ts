import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Backlog } from '../../src/port/backlog.js';
import { BURST, FrameList } from '../../src/port/batch.js';

const list = (count: number, length = 10): FrameList => {
  const frames = new FrameList();
  for (let i = 0; i < count; i++) frames.add(0, 0, length);
  return frames;
};

test('a queue that was emptied in time was never full', () => {
  const backlog = new Backlog(100 * BURST, () => 1);
  for (let i = 0; i < 99; i++) backlog.note(list(BURST));
  backlog.note(list(BURST - 1));
  expect(backlog.mayHaveOverrun).toBe(false);
  for (let i = 0; i < 99; i++) backlog.note(list(BURST));
  expect(backlog.mayHaveOverrun).toBe(false);
  backlog.note(list(BURST));
  expect(backlog.mayHaveOverrun).toBe(true);
});

test('once it may have been full, that stays so, until a hold begins with an empty queue', () => {
  const backlog = new Backlog(BURST, () => 1);
  backlog.note(list(BURST));
  backlog.note(list(0));
  expect(backlog.mayHaveOverrun).toBe(true);
  backlog.beginHold(false);
  expect(backlog.mayHaveOverrun).toBe(true);
  backlog.beginHold(true);
  expect(backlog.mayHaveOverrun).toBe(false);
});

test('what lies in the queue when a hold begins counts for it', () => {
  const backlog = new Backlog(2 * BURST, () => 1);
  backlog.note(list(BURST));
  backlog.beginHold(false);
  backlog.note(list(BURST));
  expect(backlog.mayHaveOverrun).toBe(true);
});

test('against a queue that drops: whenever one was dropped, it says so', () => {
  const step = fc.oneof(
    fc.record({ come: fc.nat(200), length: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ take: fc.constant(true) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const room = 500;
      const backlog = new Backlog(room, (length) => 2 * length); // at least what it takes
      const queue: number[] = [];
      let taken = 0;
      let dropped = false;
      for (const did of steps) {
        if ('take' in did) {
          const frames = new FrameList();
          for (const length of queue.splice(0, BURST)) frames.add(0, 0, length);
          backlog.note(frames);
          taken = queue.reduce((sum, length) => sum + length, 0);
        } else {
          for (let i = 0; i < did.come; i++) {
            // As af_packet does: refused when what lies there has reached the room, whatever the size of this one.
            if (taken >= room) dropped = true;
            else {
              queue.push(did.length);
              taken += did.length;
            }
          }
        }
      }
      while (queue.length > 0) {
        const frames = new FrameList();
        for (const length of queue.splice(0, BURST)) frames.add(0, 0, length);
        backlog.note(frames);
      }
      backlog.note(list(0));
      if (dropped) expect(backlog.mayHaveOverrun).toBe(true);
    }),
    { seed: 3_000_004 },
  );
});
