/** What the switch takes back from a guest that does not read: order, ledger, mark, release; and who has the frame in between. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newNonce } from '../../src/frame/sentinel.js';
import type { InflightFrame } from '../../src/frame/types.js';
import { Bench, type BenchPort } from './bench.js';
import type { FakePort } from './fake-port.js';
import { frame, numberOf, station, tagOf } from './frames.js';

const PORTS: readonly BenchPort[] = [{ id: 'a' }, { id: 'deaf/nic0' }];
const DEAF = 'deaf/nic0';
const isSentinel = (bytes: Buffer): boolean => bytes.readUInt16BE(12) === 0x88b5;

/** Frames that have come to the guest, sentinels not counted. */
const arrived = (port: FakePort): number[] =>
  port.delivered.filter(({ bytes }) => !isSentinel(bytes)).map(({ bytes }) => numberOf(bytes));

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** A switch whose port `deaf` has a guest that takes nothing; its hypervisor reads one frame. */
class Deaf {
  bench = new Bench(PORTS);
  #number = 0;

  get port(): FakePort {
    return this.bench.port(DEAF);
  }

  get sent(): number {
    return this.#number;
  }

  send(count: number): void {
    for (let i = 0; i < count; i++) this.bench.send('a', frame(this.#number++));
    this.port.take();
  }

  /** Up to the recall. */
  hold(stops: boolean): void {
    const { core, now } = this.bench;
    core.hold();
    core.sendSentinels(newNonce());
    this.port.take();
    core.recall([{ port: DEAF, stops }], now);
    this.port.take();
  }

  release(): void {
    this.bench.core.release(this.bench.now);
    this.bench.run(3, () => this.port.take());
    this.bench.balances();
  }

  recalled(): number {
    return this.bench.core.evidence().find(({ port }) => port === DEAF)!.down.recalled;
  }

  dropped(): number {
    return this.bench.core.ledger()[1]!.egress.dropped.withGuest;
  }

  /** Numbers in flight, as a mark has them. */
  mark(): number[] {
    const numbers = this.bench.inflight().map(({ number }) => number);
    this.bench.balances();
    return numbers;
  }

  /** The guest and all else are lost but the mark; new ones take up from it. */
  restart(): void {
    const { frames, nonces } = this.bench.core.mark(this.bench.now);
    const delivered = [...this.port.delivered];
    const saved = frames.map(
      ({ frame: { sequence, timeNs, ingress, stored }, destinations }): InflightFrame => {
        const [vnet, bytes] = [stored.subarray(0, 10), stored.subarray(10)];
        return { sequence, timeNs, ingress, destinations, vnet, bytes };
      },
    );
    const { now } = this.bench;
    this.bench = new Bench(PORTS);
    this.bench.now = now;
    this.bench.core.hold();
    this.bench.core.recognise(nonces);
    this.bench.core.restore(saved);
    this.port.delivered.push(...delivered);
  }

  wake(): number[] {
    this.port.wake();
    this.bench.run(100, () => this.port.wake());
    return arrived(this.port);
  }
}

describe('in one hold', () => {
  test('all that was not read is marked, before what came in the hold, and is delivered once', () => {
    const deaf = new Deaf();
    deaf.send(20);
    deaf.hold(true);
    expect(deaf.recalled()).toBe(20);
    deaf.port.stop();
    deaf.send(5);
    expect(deaf.mark()).toEqual(range(0, 25));
    expect(deaf.bench.core.ledger()[1]!.egress).toMatchObject({ recalled: 20, held: 25 });
    deaf.release();
    expect(deaf.dropped()).toBe(0);
    expect(deaf.wake()).toEqual(range(0, 25));
  });

  test('what had been waiting for room comes after what is taken back', () => {
    const deaf = new Deaf();
    deaf.port.window = 8;
    deaf.send(30);
    deaf.port.window = 12; // room for sentinels
    deaf.hold(true);
    expect(deaf.recalled()).toBe(8);
    expect(deaf.mark()).toEqual(range(0, 30));
    deaf.port.stop();
    deaf.release();
    deaf.port.window = 1e9;
    expect(deaf.wake()).toEqual(range(0, 30));
  });

  test('a second recall takes nothing more', () => {
    const deaf = new Deaf();
    deaf.send(3);
    deaf.hold(true);
    deaf.bench.core.recall([{ port: DEAF, stops: true }], deaf.bench.now);
    expect(deaf.mark()).toEqual([0, 1, 2]);
  });

  test('where only sentinels lay, nothing is recalled', () => {
    const deaf = new Deaf();
    deaf.hold(true);
    expect(deaf.recalled()).toBe(0);
    deaf.port.stop();
    expect(deaf.mark()).toEqual([]);
    deaf.release();
    deaf.send(3);
    deaf.hold(true);
    expect(deaf.mark()).toEqual([0, 1, 2]); // the sentinel that was taken is none of them
  });

  test('a port that goes away in between takes its frames with it, in the ledger too', () => {
    const deaf = new Deaf();
    deaf.send(3);
    deaf.hold(true);
    deaf.bench.core.removePort(DEAF);
    deaf.bench.balances();
    deaf.bench.core.release(deaf.bench.now);
    expect(deaf.bench.core.ledger()[1]!.egress.dropped.portGone).toBe(3);
  });

  test('a release goes on when a device is gone', () => {
    const deaf = new Deaf();
    deaf.send(3);
    deaf.hold(true);
    deaf.port.readSinceRecall = () => {
      throw new Error('ENODEV');
    };
    deaf.bench.core.release(deaf.bench.now);
    expect(deaf.bench.core.held).toBe(false);
  });
});

describe('the frame its hypervisor had taken', () => {
  test('is delivered again when it was purged at the stop, though that is only seen at the release', () => {
    const deaf = new Deaf();
    deaf.send(3);
    deaf.hold(true);
    expect(deaf.mark()).toEqual([0, 1, 2]);
    deaf.port.stop(); // QEMU confirms its stop before it reads on
    deaf.release();
    expect(deaf.wake()).toEqual([0, 1, 2]);
  });

  test('is not, when nobody was stopped: the checkpoint was given up', () => {
    const deaf = new Deaf();
    deaf.send(3);
    deaf.hold(true);
    deaf.release();
    expect(deaf.dropped()).toBe(1);
    expect(deaf.wake()).toEqual([0, 1, 2]);
  });

  test('of a guest its user had paused: in the image, not in the living network, hold after hold', () => {
    const deaf = new Deaf();
    for (let round = 1; round <= 4; round++) {
      deaf.send(3);
      deaf.hold(false);
      expect(deaf.mark()).toEqual(range(0, 3 * round));
      deaf.release();
      expect(deaf.dropped()).toBe(round);
    }
    expect(deaf.wake()).toEqual(range(0, 12));
  });

  test('of a paused guest that its user lets run during the hold', () => {
    const deaf = new Deaf();
    deaf.send(3);
    deaf.hold(false);
    deaf.port.wake();
    expect(deaf.mark()).toEqual([1, 2]); // it has the first
    deaf.release();
    expect(deaf.wake()).toEqual([0, 1, 2]);
  });

  test('of a paused guest that its user lets run after the mark', () => {
    const deaf = new Deaf();
    deaf.send(3);
    deaf.hold(false);
    expect(deaf.mark()).toEqual([0, 1, 2]);
    deaf.port.wake();
    deaf.release();
    expect(deaf.wake()).toEqual([0, 1, 2]);
  });

  test('of a guest that begins to read before the stop: it has it, and an image must not bring it again', () => {
    const deaf = new Deaf();
    deaf.send(3);
    deaf.hold(true);
    deaf.port.wake();
    expect(deaf.mark()).toEqual([1, 2]);
    deaf.release();
    expect(deaf.wake()).toEqual([0, 1, 2]);
  });

  test('of a guest that begins to read after the stop, before the release: delivered', () => {
    const deaf = new Deaf();
    deaf.send(3);
    deaf.hold(true);
    deaf.port.stop();
    expect(deaf.mark()).toEqual([0, 1, 2]);
    deaf.port.wake();
    deaf.release();
    expect(deaf.wake()).toEqual([0, 1, 2]);
  });
});

test('an access port: taken back frames have their tag in the image, and none on the wire', () => {
  const bench = new Bench([{ id: 'trunk' }, { id: 'five', vlan: 5 }]);
  const port = bench.port('five');
  const vnet = Buffer.alloc(10);
  vnet[0] = 1;
  vnet.writeUInt16LE(34, 6);
  vnet.writeUInt16LE(16, 8);
  bench.port('trunk').inject(frame(1, { tag: 5, from: station(3) }), vnet);
  bench.send('trunk');
  bench.run(1);
  const sent = port.ring.at(-1)!;
  bench.core.hold();
  bench.core.sendSentinels(newNonce());
  bench.core.recall([{ port: 'five', stops: true }], bench.now);
  const [marked] = bench.inflight();
  expect([marked!.ingress, tagOf(marked!.bytes), marked!.vnet]).toEqual(['trunk', 5, vnet]);
  bench.core.release(bench.now);
  bench.run(50);
  expect(port.ring.filter(({ bytes }) => !isSentinel(bytes))).toEqual([sent]);
});

test('two deaf guests have each their own copy of a flooded frame; both come first in the mark', () => {
  const bench = new Bench([{ id: 'a' }, { id: 'b' }, { id: 'c' }]);
  bench.send('a', frame(1), frame(2));
  bench.core.hold();
  bench.core.sendSentinels(newNonce());
  bench.send('a', frame(3));
  const orders = ['b', 'c'].map((port) => ({ port, stops: true }));
  bench.core.recall(orders, bench.now);
  const { frames } = bench.core.mark(bench.now);
  const sequences = frames.map(({ frame: one }) => one.sequence);
  expect(new Set(sequences).size).toBe(5);
  expect(sequences.every((sequence) => Number.isSafeInteger(sequence) && sequence > 0)).toBe(true);
  expect(bench.inflight().at(-1)).toMatchObject({ number: 3, destinations: ['b', 'c'] });
  for (const id of ['b', 'c']) {
    const numbers = bench.inflight().filter(({ destinations }) => destinations.includes(id));
    expect(numbers.map(({ number }) => number)).toEqual([1, 2, 3]);
  }
  bench.balances();
});

type Step =
  | { do: 'send'; count: number }
  | { do: 'inPlace'; stops: boolean; aborts: boolean; more: number }
  | { do: 'restart'; stops: boolean }
  | { do: 'window'; room: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('send'), count: fc.nat(6) }),
  fc.record({ do: fc.constant('inPlace'), stops: fc.boolean(), aborts: fc.boolean(), more: fc.nat(3) }),
  fc.record({ do: fc.constant('restart'), stops: fc.boolean() }),
  fc.record({ do: fc.constant('window'), room: fc.nat(10) }),
);

test('whatever is done to a guest that takes nothing: once it reads, every frame comes once, in order', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), (steps) => {
      const deaf = new Deaf();
      let window = Number.POSITIVE_INFINITY;
      for (const one of steps) {
        if (one.do === 'send') deaf.send(one.count);
        else if (one.do === 'window') window = one.room;
        else {
          deaf.hold(one.stops);
          const aborts = one.do === 'inPlace' && one.aborts;
          if (one.stops && !aborts) deaf.port.stop();
          if (one.do === 'inPlace') deaf.send(one.more);
          if (!aborts) expect(deaf.mark()).toEqual(range(0, deaf.sent));
          if (one.do === 'restart') deaf.restart();
          deaf.release();
        }
        deaf.port.window = deaf.port.ring.length + window;
      }
      deaf.port.window = Number.POSITIVE_INFINITY;
      expect(deaf.wake()).toEqual(range(0, deaf.sent));
      deaf.bench.balances();
    }),
    { numRuns: 60, seed: 9 },
  );
});
