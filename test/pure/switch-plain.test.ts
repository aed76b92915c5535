/** Super-frames on their way to ports that take plain frames only: order, hold, in-flight set, ledger. */
import { expect, test } from 'vitest';
import type { InflightFrame } from '../../src/frame/types.js';
import { Bench } from './bench.js';
import { BROADCAST, frame, station } from './frames.js';

const SIZE = 100;

/** A TCP super-frame of `count` segments, with the header it comes with. */
function superFrame(count: number) {
  const bytes = Buffer.alloc(54 + count * SIZE);
  BROADCAST.copy(bytes, 0);
  station(1).copy(bytes, 6);
  bytes.writeUInt16BE(0x0800, 12);
  bytes[14] = 0x45;
  bytes.writeUInt16BE(bytes.length - 14, 16);
  bytes[23] = 6;
  bytes[46] = 0x50;
  const vnet = Buffer.alloc(10);
  vnet[0] = vnet[1] = 1;
  vnet.writeUInt16LE(SIZE, 4);
  vnet.writeUInt16LE(34, 6);
  vnet.writeUInt16LE(16, 8);
  return { vnet, bytes };
}

/** `n` of a numbered frame, `+OFFSET` of a segment, `super` of a super-frame. */
function nameOf(bytes: Buffer): string {
  if (bytes.readUInt16BE(12) === 0x88b6) return String(bytes.readUInt32BE(14));
  return bytes.length > 54 + SIZE ? 'super' : `+${bytes.readUInt32BE(38)}`;
}

function bench(...plain: string[]): Bench {
  return new Bench(['a', 'b', 'c', 'd'].map((id) => ({ id, plain: plain.includes(id) })));
}

function send(made: Bench, ...what: (number | ReturnType<typeof superFrame>)[]): void {
  for (const each of what) {
    if (typeof each === 'number') made.port('a').inject(frame(each));
    else made.port('a').inject(each.bytes, each.vnet);
  }
  made.send('a');
}

const got = (made: Bench, id: string): string[] => {
  const { delivered, ring } = made.port(id);
  return [...delivered, ...ring].map(({ bytes }) => nameOf(bytes));
};
const IN_ORDER = ['1', '+0', '+100', '+200', '2', '+0', '+100', '3'];

test('each destination gets what it takes, in order; a frame without a segment in it stays one', () => {
  const made = bench('b', 'c');
  send(made, 1, superFrame(3), 2, superFrame(2), 3);
  made.run(1);
  expect(got(made, 'b')).toEqual(IN_ORDER);
  expect(got(made, 'c')).toEqual(IN_ORDER);
  expect(got(made, 'd')).toEqual(['1', 'super', '2', 'super', '3']);
  for (const { vnet } of made.port('b').ring) expect(vnet).toEqual(Buffer.alloc(10));
  const [a] = made.core.ledger();
  expect(a!.ingress).toMatchObject({ received: 5, switched: 5, copies: 2 * 8 + 5 });
  made.balances();
});

test('a port that takes little at a time still gets them in order', () => {
  const made = bench('b');
  made.port('b').perSend = 1;
  made.port('b').window = 0;
  send(made, 1, superFrame(3), 2, superFrame(2), 3);
  made.port('b').window = 2;
  for (let i = 0; i < 30; i++) {
    made.port('b').read(1);
    made.run(60);
  }
  expect(got(made, 'b')).toEqual(IN_ORDER);
  made.balances();
});

test('held: every segment is in flight by itself, numbered in order, and comes back in order', () => {
  const made = bench('b', 'c');
  made.core.hold();
  send(made, 1, superFrame(3), 2);
  send(made, superFrame(2), 3);
  const { frames } = made.core.mark(made.now);
  const sequences = frames.map(({ frame: { sequence } }) => sequence);
  expect(new Set(sequences).size).toBe(frames.length);
  expect(sequences).toEqual([...sequences].sort((x, y) => x - y));
  expect(
    frames.map(({ frame: { stored }, destinations }) => [
      nameOf(Buffer.from(stored.subarray(10))),
      destinations.join(''),
    ]),
  ).toEqual([
    ['1', 'bcd'],
    ['super', 'd'],
    ['+0', 'bc'],
    ['+100', 'bc'],
    ['+200', 'bc'],
    ['2', 'bcd'],
    ['super', 'd'],
    ['+0', 'bc'],
    ['+100', 'bc'],
    ['3', 'bcd'],
  ]);
  made.balances();
  const saved = frames.map(
    ({ frame: { sequence, timeNs, ingress, stored }, destinations }): InflightFrame => {
      return {
        sequence,
        timeNs,
        ingress,
        destinations,
        vnet: stored.subarray(0, 10),
        bytes: stored.subarray(10),
      };
    },
  );

  const again = bench('b', 'c');
  again.core.hold();
  again.core.restore(saved);
  for (const one of [made, again]) {
    one.core.release(one.now);
    one.run(5);
    expect(got(one, 'b')).toEqual(IN_ORDER);
    expect(got(one, 'd')).toEqual(['1', 'super', '2', 'super', '3']);
    one.balances();
  }
});

test('a header that lies costs a port of plain frames that frame, and is counted', () => {
  const made = bench('b');
  const lie = superFrame(3);
  lie.vnet.writeUInt16LE(0, 4);
  send(made, 1, lie, 2);
  made.run(1);
  expect(got(made, 'b')).toEqual(['1', '2']);
  expect(got(made, 'd')).toEqual(['1', 'super', '2']);
  expect(made.core.ledger()[1]!.egress.dropped.offload).toBe(1);
  made.balances();
});
