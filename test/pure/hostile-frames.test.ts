/** What fuzzing the switch found: frames and headers that a guest, or whoever made up an image, must not hurt us with. */
import { describe, expect, test } from 'vitest';
import { MAX_FRAME_BYTES, type InflightFrame } from '../../src/frame/types.js';
import { FrameMemory, type FrameList } from '../../src/port/batch.js';
import { counterMemory, counterRow, readLedger } from '../../src/switch/counters.js';
import { Egress } from '../../src/switch/egress.js';
import { HOLD_QUEUE_FRAMES } from '../../src/switch/room.js';
import { STATIONS_PER_PORT } from '../../src/switch/mac-table.js';
import { HOLD_FRAMES_IN_ALL } from '../../src/switch/kept-frames.js';
import { Bench } from './bench.js';
import { FakePort } from './fake-port.js';
import { frame, station } from './frames.js';

const PORTS = [{ id: 'a' }, { id: 'b' }, { id: 'five', vlan: 5 }];

function saved(bytes: Buffer, vnet = Buffer.alloc(10)): InflightFrame {
  return { sequence: 1, timeNs: 0n, ingress: 'a', destinations: ['five'], vnet, bytes };
}

/** What the access port gets of a frame that an image brought. */
function restored(one: InflightFrame): { vnet: Buffer; bytes: Buffer } {
  const bench = new Bench(PORTS);
  bench.core.hold();
  bench.core.restore([one]);
  bench.core.release(bench.now);
  bench.run(1);
  bench.balances();
  return bench.port('five').read()[0]!;
}

test(
  'all hold queues together are bounded: a flood spread over many ports ends the hold before any of them is full',
  { timeout: 60_000 },
  () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const bench = new Bench(names.map((id) => ({ id })));
    for (const [i, id] of names.entries()) bench.send(id, frame(0, { from: station(i) }));
    bench.core.hold();
    let sent = 0;
    while (!bench.core.overflowed && sent < 2 * HOLD_FRAMES_IN_ALL) {
      for (let i = 0; i < 64; i++) {
        const to = station(1 + (sent++ % 5));
        bench.port('a').inject(frame(sent, { from: station(0), to }));
      }
      bench.send('a');
      bench.now += 0.5;
    }
    expect(sent).toBe(HOLD_FRAMES_IN_ALL);
    expect(bench.core.flooded).toBe(false);
    const held = bench.core.ledger().map(({ egress }) => egress.held);
    expect(Math.max(...held)).toBeLessThan(HOLD_QUEUE_FRAMES);
    bench.balances();
    bench.core.release(bench.now);
    expect(bench.core.overflowed).toBe(false);
    bench.run(1100);
    expect(bench.core.ledger().map(({ egress }) => egress.held)).toEqual([0, 0, 0, 0, 0, 0]);
    bench.balances();
  },
);

describe('a guest that reads nothing', () => {
  const LIVE_FRAMES = 8192;
  const memory = new FrameMemory();
  const one = { sequence: 1, timeNs: 0n, ingress: 'b', stored: Buffer.alloc(70), restored: false };
  class Deaf extends FakePort {
    override send(): number {
      return 0;
    }
  }
  const deaf = () => {
    const row = counterRow(counterMemory(), 0);
    const egress = new Egress(new Deaf('a', memory), 0, row, memory);
    const cycle = (held: number, live: number): void => {
      egress.beginHold();
      for (let n = 0; n < held; n++) egress.enqueue(one, true);
      egress.beginRelease(0);
      for (let n = 0; n < live; n++) egress.enqueue(one, false);
    };
    return { egress, cycle, account: () => readLedger('a', row).egress };
  };

  test('what waits behind a release is as much as the hold brought, or what waits without one', () => {
    const few = deaf();
    few.cycle(1, 5 * HOLD_QUEUE_FRAMES);
    expect(few.account().held).toBe(1 + LIVE_FRAMES);
    const many = deaf();
    many.cycle(20_000, 5 * HOLD_QUEUE_FRAMES);
    const { switched, held, dropped } = many.account();
    expect(held).toBe(2 * 20_000);
    expect(dropped.queueFull).toBe(switched - held);
  });

  test('one that reads slowly has more room, until it has caught up', () => {
    class Slow extends FakePort {
      reads = 1;
      override send(_list: FrameList, from: number): number {
        return from < this.reads ? 1 : 0;
      }
    }
    const port = new Slow('a', memory);
    const egress = new Egress(port, 0, counterRow(counterMemory(), 0), memory);
    const fill = (): number => {
      for (let n = 0; n < 5 * HOLD_QUEUE_FRAMES; n++) egress.enqueue(one, false);
      return egress.queue.length;
    };
    expect(fill()).toBe(LIVE_FRAMES);
    egress.beginHold();
    egress.enqueue(one, true);
    egress.beginRelease(0);
    expect(fill()).toBe(1 + LIVE_FRAMES); // nothing says that it reads at all
    egress.serve(1);
    expect(fill()).toBe(4 * LIVE_FRAMES);
    egress.serve(2);
    egress.beginHold();
    egress.enqueue(one, true);
    egress.beginRelease(3);
    expect(fill()).toBeGreaterThan(4 * LIVE_FRAMES); // it is still behind, of the release before
    port.reads = 64;
    for (let now = 4; egress.queue.length > 2 * LIVE_FRAMES; now++) egress.serve(now);
    port.reads = 0;
    for (let now = 10_000; now < 12_000; now++) egress.serve(now);
    const stalled = egress.queue.length;
    expect(fill()).toBe(stalled);
    port.reads = 64;
    for (let now = 12_000; egress.queue.length > 0; now++) egress.serve(now);
    expect(fill()).toBe(LIVE_FRAMES);
  });

  test('keeps no later hold from being taken', () => {
    const { egress, cycle, account } = deaf();
    for (let round = 0; round < 20; round++) {
      cycle(10, 5 * HOLD_QUEUE_FRAMES);
      expect(egress.fullness).toBeLessThan(1);
    }
    expect(account().held).toBe(20 * 10 + LIVE_FRAMES);
  });

  test('has twice what ends a hold at most, and then ends it', () => {
    const { egress, cycle, account } = deaf();
    for (let round = 0; round < 5; round++) cycle(HOLD_QUEUE_FRAMES - 1, HOLD_QUEUE_FRAMES);
    expect(egress.fullness).toBeGreaterThanOrEqual(1);
    cycle(0, 100);
    const { held } = account();
    cycle(0, 100);
    expect(account().held).toBe(held);
  });

  test('is not waited for after a second; one that takes something again is', () => {
    const { egress, cycle } = deaf();
    cycle(5, 0);
    egress.serve(0);
    expect(egress.delivering).toBe(true);
    for (let now = 1; now < 1200; now += 10) egress.serve(now);
    expect(egress.delivering).toBe(false);
    egress.beginRelease(1200);
    expect(egress.delivering).toBe(true);
  });
});

test('a guest that invents stations costs nobody else his', () => {
  const bench = new Bench([{ id: 'a' }, { id: 'b' }, { id: 'c' }]);
  bench.send('b', frame(0, { from: station(2) }));
  for (let n = 0; n < 20_000; n++)
    bench.send('a', frame(n, { from: Buffer.from([2, 9, 0, n >> 16, n >> 8, n]) }));
  for (const port of bench.ports.values()) port.read();
  bench.send('c', frame(1, { from: station(3), to: station(2) }));
  expect(bench.port('a').ring).toEqual([]); // not flooded: b's station is known still
  expect(bench.port('b').ring).toHaveLength(1);
  expect(bench.core.stations(bench.now).filter(({ port }) => port === 'a')).toHaveLength(STATIONS_PER_PORT);
});

test('the stations of a mark fit a manifest, shared fairly between the ports', () => {
  const names = Array.from({ length: 40 }, (_, i) => `p${i}`);
  const bench = new Bench(names.map((id, i) => ({ id, segment: `s${i >> 1}` })));
  for (const [i, id] of names.entries()) {
    for (let n = 0; n < 500; n++) bench.send(id, frame(n, { from: Buffer.from([2, i, 0, 0, n >> 8, n]) }));
  }
  const { stations } = bench.core.mark(bench.now);
  expect(stations).toHaveLength(40 * 409);
  expect(new Set(stations.map(({ port }) => port)).size).toBe(40);
});

test('VLAN 4095 does not exist: not forwarded, not learned, or no manifest could say where its station is', () => {
  const bench = new Bench(PORTS);
  bench.send('a', frame(1, { tag: 0x6fff }));
  expect(bench.sent('b')).toEqual([]);
  expect(bench.core.stations(bench.now)).toEqual([]);
  expect(bench.core.ledger()[0]!.ingress.discarded.vlan).toBe(1);
  bench.balances();
});

test('a frame that fills its slot may have been cut short, and with a tag it would fit no image: malformed', () => {
  const bench = new Bench(PORTS);
  bench.send('five', frame(1, { length: MAX_FRAME_BYTES }), frame(2, { length: MAX_FRAME_BYTES - 8 }));
  const [only, ...more] = bench.port('a').ring;
  expect(more).toEqual([]);
  expect(only!.bytes.length).toBe(MAX_FRAME_BYTES - 4);
  expect(bench.core.ledger()[2]!.ingress.discarded.malformed).toBe(1);
  bench.balances();
});

test('offsets of a virtio-net header that a tag would push past their 16 bits do not end the switch', () => {
  const bench = new Bench(PORTS);
  const vnet = Buffer.from([1, 0, 0xff, 0xff, 0, 0, 0xfe, 0xff, 0, 0]);
  bench.port('five').inject(frame(1), vnet);
  bench.send('five');
  expect(bench.port('a').ring[0]!.vnet).toEqual(Buffer.from([1, 0, 3, 0, 0, 0, 2, 0, 0, 0]));
  const down = Buffer.from([1, 0, 3, 0, 0, 0, 2, 0, 0, 0]);
  expect(restored(saved(frame(1, { tag: 5 }), down)).vnet).toEqual(
    Buffer.from([1, 0, 0xff, 0xff, 0, 0, 0xfe, 0xff, 0, 0]),
  );
});

test('a tag is taken off only where there is one', () => {
  const plain = frame(1, { from: station(9) });
  expect(restored(saved(plain)).bytes).toEqual(plain);
  const short = Buffer.concat([plain.subarray(0, 12), Buffer.from([0x81, 0])]);
  expect(restored(saved(short)).bytes).toEqual(short);
  expect(restored(saved(frame(1, { from: station(9), tag: 5, length: 64 }))).bytes).toEqual(plain);
});
