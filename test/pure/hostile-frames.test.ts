/** What fuzzing the switch found: frames and headers that a guest, or whoever made up an image, must not hurt us with. */
import { expect, test } from 'vitest';
import { MAX_FRAME_BYTES, type InflightFrame } from '../../src/frame/types.js';
import { Bench } from './bench.js';
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
