/** The log of one port's queue against a list: frames at the tail and before the head, delivered, with and without room. */
import * as fc from 'fast-check';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { HoldStore } from '../../src/hold-queue/store.js';
import { recoverHeld } from '../../src/hold-queue/recover.js';
import type { HeldFrame } from '../../src/hold-queue/queue.js';
import { MappedFile } from '../../src/sys/index.js';
import { frame } from './frames.js';
import {
  newPath,
  owedTo,
  recoverBytes,
  removeDirectory,
  snapshot,
  watchCommits,
} from './hold-store.fixture.js';

afterAll(removeDirectory);
afterEach(() => void vi.restoreAllMocks());

type Step =
  | { do: 'push' | 'recall' | 'deliver'; count: number; length: number }
  | { do: 'hold' | 'drained' | 'collect' | 'full' | 'room' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom('push', 'push', 'recall', 'deliver'),
      count: fc.integer({ min: 1, max: 20 }),
      length: fc.constantFrom(60, 1514, 65_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('hold', 'hold', 'drained', 'collect', 'full', 'room') }),
  },
);

class Logged {
  readonly path = newPath();
  readonly store = new HoldStore(this.path);
  readonly log = this.store.log('p');
  /** Number of each frame, in the order of the queue. */
  frames: { n: number; held: HeldFrame }[] = [];
  /** Nothing in the queue is outside the file. */
  whole = true;
  readonly #queue = (() => {
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- the queue the log sees is this list
    const own = this;
    return {
      get length() {
        return own.frames.length;
      },
      at: (i: number) => own.frames[i]!.held,
      replace: (i: number, held: HeldFrame) => void (own.frames[i] = { n: own.frames[i]!.n, held }),
    };
  })();
  #n = 0;

  constructor() {
    this.store.settle();
  }

  /** As the switch does: in the file when it is logging. */
  #make(length: number): { n: number; held: HeldFrame } {
    const n = ++this.#n;
    const bytes = Buffer.concat([Buffer.alloc(10), frame(n, { length })]);
    const stored = this.store.keep(n, 7n, 'in', bytes.length) ?? Buffer.alloc(bytes.length);
    bytes.copy(stored);
    return { n, held: { sequence: n, timeNs: 7n, ingress: 'in', stored, restored: false } };
  }

  apply(one: Step): void {
    if (one.do === 'hold') {
      this.store.begin();
      this.log.secure(this.#queue, new Map());
      this.whole = this.store.logging;
    } else if (one.do === 'drained' && this.frames.length === 0) this.store.end();
    else if (one.do === 'collect') this.store.collect();
    else if (one.do === 'full') vi.spyOn(MappedFile.prototype, 'reserve').mockReturnValue(false);
    else if (one.do === 'room') vi.restoreAllMocks();
    else if ('count' in one) this.#move(one.do, one.count, one.length);
  }

  #move(what: 'push' | 'recall' | 'deliver', count: number, length: number): void {
    if (what === 'deliver') {
      const most = Math.min(count, this.frames.length);
      this.log.shifted(this.#queue, most);
      this.frames.splice(0, most);
      return;
    }
    const made = Array.from({ length: count }, () => this.#make(length));
    if (what === 'push') {
      for (const one of made) {
        this.frames.push(one);
        this.log.pushed(one.held);
      }
    } else {
      this.frames.unshift(...made);
      this.log.pushedFront(made.map(({ held }) => held));
    }
    this.whole &&= this.store.logging;
  }

  get numbers(): number[] {
    return this.frames.map(({ n }) => n);
  }
}

test('recovered is what is queued, in any order of pushes, recalls and deliveries', async () => {
  const property = fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
    const logged = new Logged();
    try {
      logged.apply({ do: 'hold' });
      for (const one of steps) {
        logged.apply(one);
        const owed = owedTo(await recoverHeld(logged.path)).get('p') ?? [];
        const queued = [...logged.numbers].sort((a, b) => a - b); // recovered in order of sequence
        if (logged.whole) expect(owed).toEqual(queued);
        else expect(queued).toEqual(expect.arrayContaining(owed));
        const changed = logged.frames.filter(({ n, held: { stored } }) => {
          return !frame(n, { length: stored.length - 10 }).equals(stored.subarray(10));
        });
        expect(changed).toEqual([]);
      }
    } finally {
      vi.restoreAllMocks();
      logged.store.close();
    }
  });
  await fc.assert(property, { numRuns: 40 });
}, 60_000);

test('frames put before the head count all at once or not at all', async () => {
  const logged = new Logged();
  logged.apply({ do: 'hold' });
  logged.apply({ do: 'push', count: 6, length: 60 });
  logged.apply({ do: 'deliver', count: 4, length: 60 });
  const before = logged.numbers;
  const cuts: Buffer[] = [];
  const watch = watchCommits(() => cuts.push(snapshot(logged.path)));
  logged.apply({ do: 'recall', count: 20, length: 65_000 }); // over more than one segment
  watch.stop();
  const seen = new Set<string>();
  for (const cut of cuts) seen.add(String(owedTo(await recoverBytes(cut)).get('p')));
  expect([...seen]).toEqual([String(before), String([...logged.numbers].sort((a, b) => a - b))]);
  logged.store.close();
});
