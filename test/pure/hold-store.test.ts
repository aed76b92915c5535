/**
 * The switch with a hold file, killed at any commit. Whatever was done to it: what has been sent on a port and what is
 * recovered for it are together the frames it was to get, each once, in order; and of a hold none is missing.
 */
import { existsSync, statSync } from 'node:fs';
import * as fc from 'fast-check';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import type { PortId } from '../../src/frame/types.js';
import { HoldStore } from '../../src/hold-queue/store.js';
import { recoverHeld } from '../../src/hold-queue/recover.js';
import type { Mark } from '../../src/switch/mark.js';
import { MappedFile } from '../../src/sys/index.js';
import { Bench, type BenchPort } from './bench.js';
import { BROADCAST, frame, numberOf, station } from './frames.js';
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

const PORTS: readonly BenchPort[] = [
  { id: 'a' },
  { id: 'b' },
  { id: 'c' },
  { id: 'five', vlan: 5 },
  { id: 'g', vlan: 5 },
];

type Step =
  | { do: 'send'; port: number; frames: { to: number; length: number }[] }
  | { do: 'hold' | 'release' | 'mark' | 'unpin' }
  | { do: 'room'; port: number; frames: number }
  | { do: 'wait'; ms: number };

const anyPort = fc.nat(PORTS.length - 1);
const sent = fc.record({ to: fc.nat(PORTS.length), length: fc.constantFrom(60, 61, 1514, 40_000, 65_000) });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send'),
      port: anyPort,
      frames: fc.array(sent, { minLength: 1, maxLength: 12 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('mark', 'unpin') }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('room'), port: anyPort, frames: fc.constantFrom(0, 3, 100, 1e9) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.constantFrom(0.1, 1, 20) }) },
);

const some = fc.array(step, { maxLength: 8 });
/** What comes before a hold, in it, and in its release, a few times over. */
const holds: fc.Arbitrary<Step[]> = fc
  .array(fc.tuple(some, some, some), { minLength: 1, maxLength: 3 })
  .map((cycles) =>
    cycles.flatMap(([before, during, after]): Step[] => [
      ...before,
      { do: 'hold' },
      ...during,
      { do: 'release' },
      ...after,
      { do: 'wait', ms: 1 },
    ]),
  );

interface Cut {
  readonly file: Buffer;
  readonly sent: ReadonlyMap<PortId, readonly number[]>;
  /** What each port was to get in all when the present step began. */
  readonly due: ReadonlyMap<PortId, readonly number[]>;
}

const numbersIn = (mark: Mark): number[] =>
  mark.frames.map((one) => numberOf(Buffer.from(one.frame.stored.subarray(10))));

class Killed {
  readonly path = newPath();
  readonly bench = new Bench(PORTS, 'forward', new HoldStore(this.path));
  readonly cuts: Cut[] = [];
  readonly #expected = new Map<PortId, number[]>(PORTS.map(({ id }) => [id, []]));
  readonly #marks: { mark: Mark; numbers: number[] }[] = [];
  readonly #gaps: number[];
  #number = 0;
  /** Undefined when the step began with no hold and no release. */
  #due: Cut['due'] | undefined;

  /** @param gaps commits between one cut and the next, while a hold or its release lasts */
  constructor(gaps: readonly number[]) {
    this.#gaps = [...gaps];
    // Every station is heard once, so that frames to one of them are not flooded.
    for (const [i, { id }] of PORTS.entries())
      this.bench.send(id, frame(0, { from: station(i), to: station(i) }));
    for (const { id } of PORTS) this.bench.port(id).onSent = () => this.commit();
  }

  commit(): void {
    if (this.#due === undefined || this.#gaps.length === 0) return;
    if (--this.#gaps[0]! < 0) {
      this.#gaps.shift();
      this.cuts.push({ file: snapshot(this.path), sent: this.#sentNow(), due: this.#due });
    }
  }

  #sentNow(): Map<PortId, number[]> {
    return new Map(PORTS.map(({ id }) => [id, this.bench.sent(id)]));
  }

  apply(one: Step): void {
    const { core } = this.bench;
    const lasting = core.held || !core.releaseProgress().drained;
    this.#due = lasting ? new Map([...this.#expected].map(([id, all]) => [id, [...all]])) : undefined;
    if (one.do === 'send') this.#send(one.port, one.frames);
    else if (one.do === 'hold' && !core.held) {
      core.hold();
      core.serve(this.bench.now); // the end of the turn that took the command
    } else if (one.do === 'release' && core.held) core.release(this.bench.now);
    else if (one.do === 'mark' && core.held) {
      const mark = core.mark(this.bench.now);
      this.#marks.push({ mark, numbers: numbersIn(mark) });
    } else if (one.do === 'unpin') {
      const pinned = this.#marks.shift();
      if (pinned !== undefined) core.unpin(pinned.mark);
    } else if (one.do === 'wait') this.bench.run(one.ms);
    else if (one.do === 'room') {
      const port = this.bench.port(PORTS[one.port]!.id);
      port.window = port.ring.length + one.frames;
    }
    this.#checkMarks();
  }

  #send(from: number, frames: readonly { to: number; length: number }[]): void {
    const access = PORTS[from]!.vlan;
    const built = frames.map(({ to, length }) => {
      const number = ++this.#number;
      for (const [i, { id, vlan }] of PORTS.entries()) {
        const known = to < PORTS.length && PORTS[to]!.vlan === access;
        if (i === from || (known && to !== i) || (vlan !== undefined && vlan !== access)) continue;
        this.#expected.get(id)!.push(number);
      }
      const target = to === PORTS.length ? BROADCAST : station(to);
      return frame(number, { to: target, from: station(from), length });
    });
    this.bench.send(PORTS[from]!.id, ...built);
  }

  /** Pinned frames keep their bytes, whatever becomes of the room they lie in. */
  #checkMarks(): void {
    for (const { mark, numbers } of this.#marks) expect(numbersIn(mark)).toEqual(numbers);
  }

  async check(): Promise<void> {
    for (const { file, sent, due } of this.cuts) {
      const owed = owedTo(await recoverBytes(file));
      for (const { id } of PORTS) {
        const all = this.#expected.get(id)!;
        const got = [...sent.get(id)!, ...(owed.get(id) ?? [])];
        const places = got.map((number) => all.indexOf(number));
        expect(
          places.every((place, i) => place >= 0 && (i === 0 || place > places[i - 1]!)),
          `${id} in order`,
        ).toBe(true);
        expect(got.slice(0, due.get(id)!.length), `${id} complete`).toEqual(due.get(id));
      }
    }
  }
}

test('killed at any commit, what was sent and what is recovered are each frame once, in order', async () => {
  const property = fc.asyncProperty(
    holds,
    fc.array(fc.oneof(fc.nat(8), fc.nat(100)), { minLength: 1, maxLength: 8 }),
    async (steps, cutAt) => {
      const killed = new Killed(cutAt);
      const watch = watchCommits(() => killed.commit());
      try {
        for (const one of steps) killed.apply(one);
      } finally {
        watch.stop();
      }
      await killed.check();
      killed.bench.balances();
      killed.bench.core.close();
      expect(existsSync(killed.path) || existsSync(`${killed.path}.next`)).toBe(false);
    },
  );
  await fc.assert(property, { numRuns: 80 });
}, 60_000);

const two = [{ id: 'a' }, { id: 'b' }] as const;
const blocks = (path: string): number => statSync(path).blocks * 512;
const MIB = 1024 * 1024;

/** Sends `count` frames of `length` bytes from a to b, numbered on from `first`. */
function sendMany(bench: Bench, first: number, count: number, length: number): void {
  for (let n = first; n < first + count; n += 50) {
    const frames = Array.from({ length: Math.min(50, first + count - n) }, (_, i) =>
      frame(n + i, { length }),
    );
    bench.send('a', ...frames);
  }
}
const numbers = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => first + i);

test('what waited before the hold is kept too, and a hold of nothing leaves nothing', async () => {
  const path = newPath();
  const bench = new Bench(two, 'forward', new HoldStore(path));
  bench.port('b').window = 0;
  sendMany(bench, 1, 5, 60);
  expect(await recoverHeld(path)).toEqual([]); // no hold, no work
  bench.core.hold();
  bench.core.serve(bench.now);
  expect(owedTo(await recoverHeld(path))).toEqual(new Map([['b', numbers(1, 5)]]));
  sendMany(bench, 6, 5, 60);
  const [first] = await recoverHeld(path);
  expect(first).toMatchObject({ ingress: 'a', destinations: ['b'], timeNs: 1_000_000_000n });
  expect(first!.vnet).toEqual(Buffer.alloc(10));
  expect(Buffer.from(first!.bytes)).toEqual(frame(1));
  bench.port('b').window = Number.POSITIVE_INFINITY;
  bench.core.release(bench.now);
  bench.run(10);
  expect(bench.sent('b')).toEqual(numbers(1, 10));
  expect(await recoverHeld(path)).toEqual([]);
  bench.core.close();
  expect(existsSync(path)).toBe(false);
  expect(await recoverHeld(path)).toEqual([]);
});

test('the file grows with what is held and shrinks when it has been delivered; pinned frames keep their room', () => {
  const path = newPath();
  const bench = new Bench(two, 'forward', new HoldStore(path));
  const idle = blocks(path);
  expect(idle).toBeLessThan(1.5 * MIB);
  for (let cycle = 0; cycle < 3; cycle++) {
    bench.core.hold();
    sendMany(bench, 1, 1000, 20_000);
    expect(blocks(path)).toBeGreaterThan(19 * MIB);
    const mark = bench.core.mark(bench.now);
    bench.core.release(bench.now);
    bench.run(150);
    expect(blocks(path)).toBeGreaterThan(19 * MIB);
    expect(numbersIn(mark)).toEqual(numbers(1, 1000));
    bench.core.unpin(mark);
    bench.run(10);
    expect(blocks(path)).toBeLessThan(idle + 1.1 * MIB); // a file system may take blocks of its own
  }
  bench.core.close();
});

test('with no room the rest is kept in heap memory, told once, and nothing is lost; the next hold tries again', async () => {
  const path = newPath();
  const bench = new Bench(two, 'forward', new HoldStore(path));
  const reserve = vi.spyOn(MappedFile.prototype, 'reserve').mockReturnValue(false);
  bench.core.hold();
  sendMany(bench, 1, 100, 20_000);
  expect(bench.core.takeFault()).toMatch(/no room/);
  sendMany(bench, 101, 100, 20_000);
  expect(bench.core.takeFault()).toBeUndefined();
  const owed = owedTo(await recoverHeld(path)).get('b')!;
  expect(owed).toEqual(numbers(1, owed.length)); // what was logged, and nothing behind a gap
  expect(owed.length).toBeGreaterThan(40);
  bench.core.release(bench.now);
  bench.port('b').window = 60;
  bench.run(10);
  reserve.mockRestore();
  bench.core.hold();
  bench.core.serve(bench.now);
  expect(bench.sent('b')).toEqual(numbers(1, 60));
  expect(owedTo(await recoverHeld(path)).get('b')).toEqual(numbers(61, 140));
  bench.port('b').window = Number.POSITIVE_INFINITY;
  bench.core.release(bench.now);
  bench.run(10);
  expect(bench.sent('b')).toEqual(numbers(1, 200));
  bench.balances();
  bench.core.close();
});

test('a successor that dies while it takes over loses nothing and doubles nothing', async () => {
  const path = newPath();
  const dead = new Bench(two, 'forward', new HoldStore(path));
  dead.core.hold();
  sendMany(dead, 1, 50, 60);
  const old = statSync(path).ino;
  const owed = numbers(1, 50);

  const cuts: Buffer[] = [];
  const store = new HoldStore(path);
  const heir = new Bench([], 'forward', store);
  heir.core.hold();
  heir.addPort({ id: 'a' });
  heir.addPort({ id: 'b' });
  const watch = watchCommits(() => cuts.push(snapshot(path)));
  heir.core.restore(await recoverHeld(path));
  watch.stop();
  cuts.push(snapshot(path));
  for (const cut of cuts) expect(owedTo(await recoverBytes(cut)).get('b')).toEqual(owed);
  expect(statSync(path).ino).not.toBe(old);

  // One that never took over leaves the file as it was.
  const idle = new Bench([], 'forward', new HoldStore(path));
  idle.core.hold();
  idle.core.close();
  expect(owedTo(await recoverHeld(path)).get('b')).toEqual(owed);
  // One that flows from its beginning has nothing to do with the dead one's frames.
  const fresh = new Bench(two, 'forward', new HoldStore(path));
  expect(await recoverHeld(path)).toEqual([]);
  for (const bench of [fresh, heir, dead]) bench.core.close();
});

test('a port that is removed is owed nothing; one that takes its name begins anew', async () => {
  const path = newPath();
  const bench = new Bench(two, 'forward', new HoldStore(path));
  bench.core.hold();
  sendMany(bench, 1, 10, 60);
  bench.core.removePort('b');
  expect(await recoverHeld(path)).toEqual([]);
  bench.addPort({ id: 'b' });
  sendMany(bench, 11, 3, 60);
  expect(owedTo(await recoverHeld(path)).get('b')).toEqual([11, 12, 13]);
  bench.core.close();
});
