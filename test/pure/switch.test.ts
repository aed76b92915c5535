import { describe, expect, test } from 'vitest';
import { encodeSentinel, newNonce } from '../../src/frame/sentinel.js';
import type { InflightFrame } from '../../src/frame/types.js';
import { Bench } from './bench.js';
import { FakePort } from './fake-port.js';
import { frame, numberOf, station, tagOf } from './frames.js';

const three = [{ id: 'a' }, { id: 'b' }, { id: 'c' }] as const;
const saved = (n: number, destinations: string[], bytes = frame(n)): InflightFrame => ({
  sequence: n,
  timeNs: 0n,
  ingress: 'gone',
  destinations,
  vnet: Buffer.alloc(10),
  bytes,
});

test('ports that can be closed by the kernel are inspected every 25 ms, held or not; without such ports nobody wakes', () => {
  const bench = new Bench(three);
  expect(bench.core.serve(1000)).toBeUndefined();
  let inspected = 0;
  const port = Object.assign(new FakePort('d', bench.core.memory), {
    inspect: () => {
      inspected++;
    },
  });
  bench.core.addPort(port, 'lan');
  expect([bench.core.serve(1000), inspected]).toEqual([25, 1]);
  expect([bench.core.serve(1010), inspected]).toEqual([15, 1]);
  bench.core.hold();
  expect([bench.core.serve(1025), inspected]).toEqual([25, 2]);
  expect([bench.core.serve(1049), inspected]).toEqual([1, 2]);
});

describe('switching', () => {
  test('unknown stations are flooded, known ones are not, moved ones are followed', () => {
    const bench = new Bench(three);
    bench.send('a', frame(1, { from: station(1), to: station(2) }));
    bench.send('b', frame(2, { from: station(2), to: station(1) }));
    bench.send('a', frame(3, { from: station(1), to: station(2) }));
    bench.send('c', frame(4, { from: station(2), to: station(1) })); // station 2 moves to c
    bench.send('a', frame(5, { from: station(1), to: station(2) }));
    expect([bench.sent('a'), bench.sent('b'), bench.sent('c')]).toEqual([
      [2, 4],
      [1, 3],
      [1, 5],
    ]);
    bench.balances();
  });

  test('segments are apart, even for the same addresses', () => {
    const bench = new Bench([...three, { id: 'x', segment: 'other' }, { id: 'y', segment: 'other' }]);
    bench.send('a', frame(1, { from: station(1) }));
    bench.send('x', frame(2, { from: station(1) }));
    bench.send('y', frame(3, { from: station(3), to: station(1) }));
    bench.send('b', frame(4, { from: station(4), to: station(1) }));
    expect([...bench.ports.keys()].map((id) => bench.sent(id))).toEqual([[4], [1], [1], [3], [2]]);
  });

  test('tags of trunks pass untouched; an access port is untagged on its side and sees its VLAN only', () => {
    const bench = new Bench([{ id: 'trunk' }, { id: 't2' }, { id: 'five', vlan: 5 }, { id: 'six', vlan: 6 }]);
    const tagged = frame(1, { tag: 0xa005 }); // priority 5 survives between trunks
    bench.send('trunk', tagged);
    bench.run(0.1); // access ports are served from their queues
    expect(bench.port('t2').read()[0]?.bytes).toEqual(tagged);
    const arrived = bench.port('five').read()[0]!.bytes;
    expect([tagOf(arrived), numberOf(arrived)]).toEqual([undefined, 1]);
    expect(bench.sent('six')).toEqual([]);
    bench.send('five', frame(2));
    const [onTrunk] = bench.port('trunk').read();
    expect([tagOf(onTrunk!.bytes), numberOf(onTrunk!.bytes), onTrunk!.bytes.length]).toEqual([5, 2, 64]);
    bench.send('trunk', frame(3)); // untagged: VLAN 0, not for access ports
    bench.run(0.1);
    expect([bench.sent('five'), bench.sent('six')]).toEqual([[1], []]);
    bench.send('five', frame(4, { tag: 6 })); // a host cannot hop VLANs
    bench.run(0.1);
    expect([bench.sent('six'), bench.core.ledger()[2]!.ingress.discarded.vlan]).toEqual([[], 1]);
    bench.balances();
  });

  test('a tag moves an unfinished checksum with it, there and back', () => {
    const bench = new Bench([{ id: 'trunk' }, { id: 'five', vlan: 5 }, { id: 'other', vlan: 5 }]);
    const vnet = Buffer.alloc(10);
    vnet[0] = 1;
    vnet[1] = 1;
    vnet.writeUInt16LE(54, 2); // hdr_len
    vnet.writeUInt16LE(1448, 4); // gso_size
    vnet.writeUInt16LE(34, 6); // csum_start
    vnet.writeUInt16LE(16, 8); // csum_offset: from csum_start, so it stays
    bench.port('five').inject(frame(1, { length: 5000 }), vnet);
    bench.send('five');
    bench.run(0.1);
    const tagged = bench.port('trunk').read()[0]!.vnet;
    expect([2, 4, 6, 8].map((at) => tagged.readUInt16LE(at))).toEqual([58, 1448, 38, 16]);
    expect(bench.port('other').read()[0]!.vnet).toEqual(vnet);
  });

  test('reserved multicast passes or stops, as the segment says; its sender is learned either way', () => {
    const lldp = Buffer.from([1, 0x80, 0xc2, 0, 0, 0x0e]);
    for (const setting of ['forward', 'drop'] as const) {
      const bench = new Bench(three, setting);
      bench.send('a', frame(1, { to: lldp }));
      expect(bench.sent('b')).toEqual(setting === 'forward' ? [1] : []);
      expect(bench.core.ledger()[0]!.ingress.discarded.reserved).toBe(setting === 'forward' ? 0 : 1);
      expect(bench.core.stations(bench.now)).toHaveLength(1);
      bench.balances();
    }
  });

  test('short frames are padded with zeroes, runts and group senders discarded, nothing is echoed', () => {
    const bench = new Bench([{ id: 'a' }, { id: 'b' }]);
    bench.send('a', frame(9, { length: 60 }).fill(0xee, 20)); // leave something in the slot
    bench.send('a', frame(1).subarray(0, 20), Buffer.alloc(13), frame(2, { from: Buffer.alloc(6, 0xff) }));
    const [, padded] = bench.port('b').read();
    expect(padded!.bytes).toHaveLength(60);
    expect(padded!.bytes.subarray(20).every((byte) => byte === 0)).toBe(true);
    bench.send('a', frame(3, { to: station(1), from: station(1) }));
    expect(bench.sent('a')).toEqual([]);
    expect(bench.core.ledger()[0]!.ingress.discarded).toMatchObject({ malformed: 2, nowhere: 1 });
    bench.balances();
  });

  test('a full port makes frames wait in order, a bounded number; other ports do not feel it', () => {
    const bench = new Bench(three);
    bench.port('b').window = 10;
    for (let n = 0; n < 10_000; n++) bench.send('a', frame(n));
    expect(bench.sent('c')).toHaveLength(10_000);
    bench.balances();
    const { held, dropped } = bench.core.ledger()[1]!.egress;
    expect(held).toBeGreaterThanOrEqual(8192);
    expect(held).toBeLessThan(8192 + 64);
    expect(dropped.queueFull).toBe(10_000 - 10 - held);
    bench.run(2000, () => bench.port('b').read());
    expect(bench.sent('b')).toEqual(Array.from({ length: 10 + held }, (_, n) => n));
    bench.balances();
  });

  test('several senders at full rate to one access port that takes all: nothing is dropped', () => {
    const bench = new Bench([{ id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'd', vlan: 5 }]);
    bench.send('d', frame(0, { from: station(4) }));
    for (let turn = 0; turn < 50; turn++) {
      for (const [n, id] of ['a', 'b', 'c'].entries()) {
        const options = { to: station(4), from: station(n), tag: 5 };
        bench.send(id, ...Array.from({ length: 64 }, (_, i) => frame(turn * 64 + i, options)));
      }
      bench.run(0.1);
    }
    expect(bench.core.ledger()[3]!.egress.dropped.queueFull).toBe(0);
    bench.run(10);
    expect(bench.sent('d')).toHaveLength(50 * 64 * 3);
  });

  test('a refused frame is dropped alone, with its reason', () => {
    const bench = new Bench([{ id: 'a' }, { id: 'b' }]);
    bench.port('b').refuses = (bytes) => (numberOf(bytes) === 2 ? 90 : numberOf(bytes) === 4 ? 105 : 0);
    for (let n = 0; n < 6; n++) bench.port('a').inject(frame(n));
    bench.send('a');
    expect(bench.sent('b')).toEqual([0, 1, 3, 5]);
    expect(bench.core.ledger()[1]!.egress.dropped).toMatchObject({ oversize: 1, refused: 1 });
    bench.balances();
  });

  test('a port that goes away takes its stations, its queue and its descriptors, and the ledger still balances', () => {
    const bench = new Bench(three);
    bench.port('b').window = 1;
    bench.send('b', frame(1, { from: station(2) }));
    bench.send('a', frame(2), frame(3), frame(4));
    bench.core.removePort('b');
    expect(bench.port('b').closed).toBe(true);
    expect(bench.core.stations(bench.now).map(({ port }) => port)).toEqual(['a']);
    bench.send('a', frame(5, { to: station(2) }));
    expect(bench.sent('c')).toEqual([1, 2, 3, 4, 5]);
    bench.balances();
  });
});

describe('sentinels', () => {
  const nonce = newNonce();

  test('go to guests only, behind everything, and are counted', () => {
    const bench = new Bench([{ id: 'a' }, { id: 'b' }, { id: 'up', kind: 'external' }]);
    bench.send('a', frame(1));
    bench.core.hold();
    bench.core.sendSentinels(nonce);
    expect(bench.port('b').ring.map(({ bytes }) => bytes)).toEqual([
      frame(1),
      encodeSentinel(nonce),
      encodeSentinel(nonce),
    ]);
    expect(bench.port('up').ring).toHaveLength(1);
    bench.balances();
  });

  test.each(['untagged', 'tagged by the guest', 'on an access port', 'padded longer'])(
    'sent back %s: swallowed and not learned',
    (how) => {
      const bench = new Bench([
        { id: 'a' },
        { id: 'b', vlan: how === 'on an access port' ? 5 : 0 },
        { id: 'c' },
      ]);
      bench.core.hold();
      bench.core.sendSentinels(nonce);
      bench.core.release(bench.now);
      const sentinel = encodeSentinel(nonce);
      const tag = Buffer.from([0x81, 0, 0, 7]);
      const echoed =
        how === 'tagged by the guest'
          ? Buffer.concat([sentinel.subarray(0, 12), tag, sentinel.subarray(12)])
          : how === 'padded longer'
            ? Buffer.concat([sentinel, Buffer.alloc(40)])
            : sentinel;
      bench.send('b', echoed);
      expect(bench.port('a').ring.length + bench.port('c').ring.length).toBe(4); // their own sentinels
      expect(bench.core.ledger()[1]!.ingress.discarded.swallowed).toBe(1);
      expect(bench.core.stations(bench.now)).toEqual([]);
      bench.balances();
    },
  );

  test('a forged nonce, or a sentinel of a network never held, is an ordinary frame', () => {
    const bench = new Bench(three);
    bench.core.recognise([nonce]);
    bench.send('a', encodeSentinel(newNonce()), encodeSentinel(Buffer.alloc(16)));
    expect(bench.port('b').ring).toHaveLength(2);
    bench.send('a', encodeSentinel(nonce));
    expect(bench.port('b').ring).toHaveLength(2);
  });

  test('the nonces of the last holds stay known, also through a mark; not without bound', () => {
    const bench = new Bench(three);
    const nonces = Array.from({ length: 80 }, newNonce);
    for (const each of nonces) bench.core.sendSentinels(each);
    const kept = bench.core.mark(bench.now).nonces;
    expect(kept).toHaveLength(64);
    expect(kept[0]).toEqual(nonces[79]);
    bench.send('a', encodeSentinel(nonces[79]!), encodeSentinel(nonces[20]!));
    expect(bench.core.ledger()[0]!.ingress.discarded.swallowed).toBe(2);
  });
});

describe('hold and release', () => {
  test('nothing leaves between hold and release, everything after it, in order and behind it what came later', () => {
    const bench = new Bench(three);
    bench.core.hold();
    for (let n = 0; n < 200; n++) bench.send('a', frame(n));
    expect(bench.core.serve(bench.now)).toBeUndefined();
    expect([bench.sent('b'), bench.sent('c')]).toEqual([[], []]);
    bench.balances();
    bench.core.release(bench.now);
    bench.send('a', frame(200));
    bench.run(50);
    expect(bench.sent('b')).toEqual(Array.from({ length: 201 }, (_, n) => n));
    expect(bench.sent('c')).toEqual(bench.sent('b'));
    bench.balances();
  });

  test('a second hold in the middle of half a multicast: marked once, with the destinations that remain', () => {
    const bench = new Bench(three);
    bench.core.hold();
    bench.send('a', frame(1), frame(2));
    bench.port('c').window = 0;
    bench.core.release(bench.now);
    bench.core.serve(bench.now);
    bench.core.hold();
    bench.send('b', frame(3));
    expect(bench.inflight().map(({ number, destinations }) => [number, destinations])).toEqual([
      [1, ['c']],
      [2, ['c']],
      [3, ['a', 'c']],
    ]);
    bench.port('c').window = 100;
    bench.core.release(bench.now);
    bench.run(50);
    expect([bench.sent('a'), bench.sent('b'), bench.sent('c')]).toEqual([[3], [1, 2], [1, 2, 3]]);
    bench.balances();
  });

  test('a flooded frame that several full ports did not take is marked once', () => {
    const bench = new Bench(three);
    bench.port('b').window = 0;
    bench.port('c').window = 0;
    bench.send('a', frame(1), frame(2));
    bench.core.hold();
    expect(bench.inflight().map(({ number, destinations }) => [number, destinations])).toEqual([
      [1, ['b', 'c']],
      [2, ['b', 'c']],
    ]);
  });

  test('marks keep the order of arrival of a burst that reached one port directly and another through its queue', () => {
    const bench = new Bench(three);
    bench.send('b', frame(0, { from: station(2) }));
    bench.port('b').window = 0;
    bench.send('a', frame(1, { to: station(2) })); // b's queue begins
    bench.port('c').window = 1; // it has frame 0 already
    bench.port('a').inject(frame(2, { to: station(3) })); // flooded
    bench.port('a').inject(frame(3));
    bench.send('a');
    bench.core.hold();
    expect(bench.inflight().map(({ number }) => number)).toEqual([1, 2, 3]);
  });

  test('5,000 saved frames for one port: in order, within the window, no faster than the pace', () => {
    const bench = new Bench(three);
    bench.core.hold();
    bench.core.restore(Array.from({ length: 5000 }, (_, n) => saved(n, ['b'])));
    bench.balances();
    const port = bench.port('b');
    port.window = 256;
    bench.core.release(bench.now);
    const began = bench.now;
    bench.run(650, () => {
      expect(bench.sent('b').length).toBeLessThanOrEqual(8 * (bench.now - began) + 64 + 1);
      if (Math.round(bench.now * 10) % 20 === 0) port.read();
    });
    expect(port.peak).toBeLessThanOrEqual(256);
    expect(bench.sent('b')).toEqual(Array.from({ length: 5000 }, (_, n) => n));
    expect(bench.core.releaseProgress().drained).toBe(true);
    bench.balances();
  });

  test('the pace of a release does not feed on itself', () => {
    const bench = new Bench(three);
    bench.core.hold();
    bench.core.restore(Array.from({ length: 30_000 }, (_, n) => saved(n, ['b'])));
    bench.core.release(bench.now);
    bench.run(300);
    expect(bench.sent('b').length).toBeLessThanOrEqual(64 * 301 + 64);
  });

  test('a hold queue that runs over says so, and loses nothing', () => {
    const bench = new Bench([{ id: 'a' }, { id: 'b' }]);
    bench.core.hold();
    let n = 0;
    while (!bench.core.overflowed) {
      bench.send('a', frame(n++));
      bench.now += 0.01; // 100 a millisecond
    }
    expect(n).toBe(65_536);
    for (const end = n + 100; n < end;) bench.send('a', frame(n++));
    bench.balances();
    bench.core.release(bench.now);
    expect(bench.core.overflowed).toBe(false);
    bench.run(1200);
    expect(bench.sent('b')).toEqual(Array.from({ length: n }, (_, i) => i));
    bench.balances();
  });

  test('large frames run a hold over by their bytes', () => {
    const bench = new Bench([{ id: 'a' }, { id: 'b' }]);
    const big = frame(0, { length: 65_000 });
    bench.core.hold();
    let count = 0;
    while (!bench.core.overflowed && count < 10_000) {
      bench.send('a', big);
      count++;
    }
    expect(count).toBe(Math.ceil((256 * 1024 * 1024) / 65_010));
  });

  test('the release is reported by frames that were held, not by a queue that backs up later', () => {
    const bench = new Bench(three);
    bench.core.hold();
    bench.core.restore([saved(1, ['b'])]);
    bench.port('a').window = 1000;
    bench.core.restore(Array.from({ length: 1000 }, (_, n) => saved(n, ['a'])));
    bench.core.release(bench.now);
    const began = bench.now;
    bench.run(5);
    bench.port('c').window = 0;
    bench.send('b', frame(2));
    bench.port('c').window = 10;
    bench.run(2);
    const { lastPortStartedAt, drained } = bench.core.releaseProgress();
    expect(drained).toBe(false);
    expect(lastPortStartedAt).toBe(began);
  });

  test('a port whose counters cannot be read fails the hold and does not leave the network held', () => {
    const bench = new Bench(three);
    bench.port('b').beginHold = () => {
      throw new Error('no such device');
    };
    expect(() => bench.core.hold()).toThrow('no such device');
    expect(bench.core.held).toBe(false);
    bench.send('a', frame(1));
    expect(bench.sent('c')).toEqual([1]);
  });

  test('saved stations are known again; saved frames for ports that are no more are ignored', () => {
    const bench = new Bench([{ id: 'a' }, { id: 'b' }, { id: 'c', vlan: 5 }]);
    bench.send('a', frame(1, { from: station(1) }));
    bench.send('c', frame(2, { from: station(3) }));
    const stations = bench.core.stations(bench.now);
    const again = new Bench([{ id: 'a' }, { id: 'b' }, { id: 'c', vlan: 5 }]);
    again.core.hold();
    again.core.learnStations(
      [...stations, { segment: 'lan', vlan: 0, mac: '02:00:00:00:00:09', port: 'z' }],
      1,
    );
    again.core.restore([saved(7, ['z']), saved(8, ['z', 'b'])]);
    again.core.release(again.now);
    again.run(1);
    expect(again.core.stations(again.now)).toEqual(stations);
    expect(again.sent('b')).toEqual([8]);
    again.balances();
  });

  test('a saved frame for an access port loses its tag on the way out, as it would have', () => {
    const bench = new Bench([{ id: 'a' }, { id: 'b', vlan: 5 }]);
    bench.send('b', frame(0, { from: station(2) }));
    bench.core.hold();
    bench.send('a', frame(1, { tag: 5 }));
    const [kept] = bench.inflight();
    expect(tagOf(kept!.bytes)).toBe(5);
    const again = new Bench([{ id: 'a' }, { id: 'b', vlan: 5 }]);
    again.core.hold();
    again.core.restore([saved(1, ['b'], kept!.bytes)]);
    again.core.release(again.now);
    again.run(1);
    expect(tagOf(again.port('b').read()[0]!.bytes)).toBeUndefined();
  });
});
