/**
 * Any mix of port offloads, VLANs and MTUs: every port gets the payloads that are for it, byte for byte and in order, in
 * frames it takes, and what does not fit it is counted.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Bench } from './bench.js';
import { frame } from './frames.js';
import {
  build,
  expected,
  filled,
  LINK_BYTES,
  made,
  parse,
  shapes,
  TAKES_ALL,
  TAKES_NOTHING,
  text,
  VLAN,
  type Built,
  type Receiver,
  type Sent,
} from './guest-frames.js';

const receivers: fc.Arbitrary<Receiver[]> = fc.array(
  fc.record({
    plain: fc.boolean(),
    vlan: fc.constantFrom(0, VLAN),
    mtu: fc.constantFrom(undefined, 576, 1500, 9000),
  }),
  { minLength: 1, maxLength: 5 },
);

const frames: fc.Arbitrary<Sent[]> = fc.array(
  fc.record({
    shape: fc
      .tuple(shapes, fc.integer({ min: 0, max: 1 }))
      .map(([shape, tags]) => ({ ...shape, tags, jumbo: false })),
    kind: fc.constantFrom('whole' as const, 'sum' as const, 'super' as const),
    turn: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6 },
);

test('any mix of port offloads: byte-identical payloads, valid checksums, nothing that a port does not take', () => {
  const mix = fc.record({ receivers, frames, senderVlan: fc.constantFrom(0, VLAN) });
  let oversize = 0;
  fc.assert(
    fc.property(mix, ({ receivers: ports, frames: sent, senderVlan }) => {
      const bench = new Bench([
        { id: 'sender', vlan: senderVlan },
        ...ports.map((port, i) => ({ id: `p${i}`, ...port })),
      ]);
      for (const each of sent) {
        if (each.turn && bench.core.held) bench.core.release(bench.now);
        else if (each.turn) bench.core.hold();
        const { vnet, frame: bytes } = made(each);
        bench.port('sender').inject(bytes, vnet);
        bench.send('sender');
      }
      if (bench.core.held) bench.core.release(bench.now);
      bench.run(5);
      const ledger = bench.core.ledger();
      for (const [i, port] of ports.entries()) {
        const due = sent.map((each) => expected(each, senderVlan, port));
        const { ring } = bench.port(`p${i}`);
        const got = ring.map((wire) => parse(wire, port.plain ? TAKES_NOTHING : TAKES_ALL));
        expect(text(got)).toEqual(text(due));
        const tags = due.flatMap((each) => each.payloads.map(() => each.tags));
        expect(got.flatMap((each) => each.payloads.map(() => each.tags.length))).toEqual(tags);
        const lost = due.reduce((sum, each) => sum + each.oversize, 0);
        expect(ledger.find(({ port: id }) => id === `p${i}`)!.egress.dropped.oversize).toBe(lost);
        oversize += lost;
      }
      bench.balances();
    }),
    { seed: 6, numRuns: 120 },
  );
  expect(oversize).toBeGreaterThan(50); // it happens in the search
}, 30_000);

const TCP_HEADERS = 54;

function superOf(size: number, tags: number): Built {
  const options = { tcp: 0, ip: 0 };
  const payload = filled(3 * size, 1);
  const more = { sequence: 0, id: 0, flags: 0x10, jumbo: false };
  return build({ version: 4, protocol: 'tcp', tags, options, payload, size, ...more });
}

test.for([576, 1500, 9000])(
  'MTU %i: to the byte, tags not counted, whole frames and segments, held or not',
  (mtu) => {
    for (const held of [false, true]) {
      const bench = new Bench([{ id: 'a' }, { id: 'trunk', mtu }, { id: 'access', mtu, vlan: VLAN }]);
      if (held) bench.core.hold();
      for (const tag of [undefined, VLAN]) {
        const longest = mtu + LINK_BYTES + (tag === undefined ? 0 : 4);
        for (const length of [longest, longest + 1])
          bench.send('a', frame(length, tag === undefined ? { length } : { tag, length }));
        for (const size of [longest, longest + 1].map(
          (length) => length - (tag === undefined ? 0 : 4) - TCP_HEADERS,
        )) {
          const { vnet, frame: bytes } = superOf(size, tag === undefined ? 0 : 1);
          bench.port('a').inject(bytes, vnet);
          bench.send('a');
        }
      }
      if (held) bench.core.release(bench.now);
      bench.run(5);
      const lengths = (id: string): number[] => bench.port(id).ring.map(({ bytes }) => bytes.length);
      const whole = (tags: number): number[] => {
        const size = mtu + LINK_BYTES - TCP_HEADERS;
        return [mtu + LINK_BYTES + 4 * tags, TCP_HEADERS + 3 * size + 4 * tags];
      };
      expect(lengths('trunk')).toEqual([...whole(0), ...whole(1)]);
      expect(lengths('access')).toEqual(whole(0)); // of those of its VLAN
      const dropped = bench.core.ledger().map(({ egress }) => egress.dropped.oversize);
      expect(dropped).toEqual([0, 4, 2]);
      bench.balances();
    }
  },
);
