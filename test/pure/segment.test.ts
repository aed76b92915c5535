/** Offloads done in software: segments put together again, and checksums counted by other means. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addWords, foldChecksum } from '../../src/frame/checksum.js';
import { isPlain, longestOnWire, toPlain } from '../../src/frame/segment.js';
import {
  build,
  filled,
  pseudo,
  residue,
  shapes,
  TCPV6,
  UDP_L4,
  UFO,
  VNET,
  type Built,
  type Super,
} from './guest-frames.js';

/** Runs it in the middle of other bytes, as in the arena. */
function plain(vnet: Buffer, frame: Buffer, around = 0xee): Buffer[] | undefined {
  const arena = Buffer.alloc(VNET + 22 + frame.length + 64, around);
  arena.set(vnet, 0);
  arena.set(frame, 32);
  return toPlain(arena, 0, 32, frame.length);
}

test('the segments are the whole frame again, each of them right by itself', () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const { vnet, frame, ip, transport, payloadAt } = build(shape);
      const segments = plain(vnet, frame) ?? [];
      expect(segments).toHaveLength(Math.max(1, Math.ceil(shape.payload.length / shape.size)));
      const longest = Math.max(...segments.map((stored) => stored.length - VNET));
      expect(Math.max(60, longestOnWire(Buffer.concat([vnet, frame]), 0, VNET, frame.length))).toBe(longest);
      const carried: Buffer[] = [];
      for (const [i, stored] of segments.entries()) {
        const last = i === segments.length - 1;
        expect(stored.subarray(0, VNET)).toEqual(Buffer.alloc(VNET));
        const out = stored.subarray(VNET);
        expect(out.length).toBeGreaterThanOrEqual(60);
        const field = out.readUInt16BE(ip + (shape.version === 4 ? 2 : 4));
        const end = ip + field + (shape.version === 4 ? 0 : 40);
        expect(out.subarray(end)).toEqual(Buffer.alloc(out.length - end)); // padding only
        const body = out.subarray(payloadAt, end);
        carried.push(body);
        expect(body.length <= shape.size).toBe(true);
        if (!last) expect(body.length).toBe(shape.size);

        expect(out.subarray(0, ip)).toEqual(frame.subarray(0, ip));
        if (shape.version === 4) {
          expect(out.readUInt16BE(ip + 4)).toBe((shape.id + i) & 0xffff);
          expect(residue(out.subarray(ip, transport))).toBe(0);
        }
        const number = shape.protocol === 'tcp' ? 6 : 17;
        const length = end - transport;
        expect(residue(pseudo(out, ip, shape.version, number, length), out.subarray(transport, end))).toBe(0);
        if (shape.protocol === 'udp') {
          expect(out.readUInt16BE(transport + 4)).toBe(length);
          expect(out.readUInt16BE(transport + 6)).not.toBe(0);
        } else {
          expect(out.readUInt32BE(transport + 4)).toBe((shape.sequence + i * shape.size) % 2 ** 32);
          const kept = (i === 0 ? 0x80 : 0) | (last ? 0x09 : 0) | 0x76;
          expect(out[transport + 13]).toBe(shape.flags & kept);
          // Nothing else of the header differs.
          const same = (bytes: Buffer): Buffer => {
            const header = Buffer.from(bytes.subarray(transport, payloadAt));
            for (const at of [4, 5, 6, 7, 13, 16, 17]) header[at] = 0;
            return header;
          };
          expect(same(out)).toEqual(same(frame));
        }
      }
      expect(Buffer.concat(carried)).toEqual(shape.payload);
    }),
    { seed: 3, numRuns: 60 },
  );
});

test('a checksum alone is filled in, and all else left as it is', () => {
  fc.assert(
    fc.property(shapes, (drawn) => {
      const shape = { ...drawn, jumbo: false, options: { tcp: drawn.options.tcp, ip: 0 } };
      const { vnet, frame, ip, transport } = build(shape);
      vnet[1] = 0;
      const [stored, ...more] = plain(vnet, frame) ?? [];
      expect(more).toEqual([]);
      const out = stored!.subarray(VNET, VNET + frame.length);
      const number = shape.protocol === 'tcp' ? 6 : 17;
      const head = pseudo(out, ip, shape.version, number, frame.length - transport);
      expect(residue(head, out.subarray(transport))).toBe(0);
      const field = transport + (number === 6 ? 16 : 6);
      for (const at of [field, field + 1]) out[at] = frame[at]!;
      expect(out).toEqual(frame);
    }),
    { seed: 4, numRuns: 100 },
  );
});

const GOOD: Super = {
  version: 4,
  protocol: 'tcp',
  tags: 0,
  options: { tcp: 12, ip: 0 },
  payload: filled(4000, 1),
  size: 1448,
  sequence: 1,
  id: 1,
  flags: 0x18,
  jumbo: false,
};

test('a segment longer than an IP packet can say: no frame comes of it', () => {
  const { vnet, frame } = build({ ...GOOD, payload: filled(65_500, 1), size: 65_500, jumbo: true });
  expect(plain(vnet, frame)).toBeUndefined();
  vnet.writeUInt16LE(65_000, 4);
  expect(plain(vnet, frame)).toHaveLength(2);
});

describe('a header that lies', () => {
  const lies: Record<string, (built: Built) => void> = {
    'size 0': ({ vnet }) => vnet.writeUInt16LE(0, 4),
    'a size that makes thousands of them': ({ vnet }) => vnet.writeUInt16LE(1, 4),
    'an unknown kind': ({ vnet }) => (vnet[1] = 7),
    'fragments of UDP': ({ vnet }) => (vnet[1] = UFO),
    'IPv6 of an IPv4 frame': ({ vnet }) => (vnet[1] = TCPV6),
    'UDP of a TCP frame': ({ vnet }) => (vnet[1] = UDP_L4),
    'no IP at all': ({ frame }) => frame.writeUInt16BE(0x0806, 12),
    'a length beyond the frame': ({ frame, ip }) => frame.writeUInt16BE(frame.length, ip + 2),
    'a length inside the headers': ({ frame, ip }) => frame.writeUInt16BE(30, ip + 2),
    'a short IP header': ({ frame, ip }) => (frame[ip] = 0x44),
    'a fragment': ({ frame, ip }) => frame.writeUInt16BE(0x2000, ip + 6),
    'a short TCP header': ({ frame, transport }) => (frame[transport + 12] = 0x40),
    'a TCP header beyond the frame': ({ frame, ip, transport }) => {
      frame.writeUInt16BE(transport + 24 - ip, ip + 2);
      frame[transport + 12] = 0xf0;
    },
    'a checksum beyond the frame': ({ vnet, frame }) => {
      vnet[1] = 0;
      vnet.writeUInt16LE(frame.length - 1, 6);
      vnet.writeUInt16LE(0, 8);
    },
    'a checksum in the addresses': ({ vnet }) => {
      vnet[1] = 0;
      vnet.writeUInt16LE(0, 6);
    },
  };
  test.for(Object.keys(lies))('%s: no frame comes of it', (lie) => {
    const built = build({ ...GOOD, payload: lie.startsWith('a size') ? filled(4000, 1) : GOOD.payload });
    expect(plain(built.vnet, built.frame)).toHaveLength(3);
    lies[lie]!(built);
    expect(plain(built.vnet, built.frame)).toBeUndefined();
  });

  test('whatever header and frame say: it neither throws nor looks beyond the frame, and the result is bounded', () => {
    const anything = fc.record({
      shape: shapes,
      vnet: fc.uint8Array({ minLength: VNET, maxLength: VNET }),
      pokes: fc.array(fc.tuple(fc.integer({ min: 0, max: 120 }), fc.integer({ min: 0, max: 255 })), {
        maxLength: 12,
      }),
      length: fc.option(fc.integer({ min: 0, max: 200 }), { nil: undefined }),
      keep: fc.integer({ min: 0, max: 0x3ff }),
    });
    fc.assert(
      fc.property(anything, ({ shape, vnet, pokes, length, keep }) => {
        const built = build({ ...shape, options: { tcp: shape.options.tcp, ip: 0 } });
        const header = Buffer.from(built.vnet.map((byte, i) => ((keep >> i) & 1 ? byte : vnet[i]!)));
        const frame = Buffer.from(built.frame.subarray(0, length));
        for (const [at, value] of pokes) if (at < frame.length) frame[at] = value;
        const first = plain(header, frame, 0x00);
        const second = plain(header, frame, 0xff);
        expect(second?.map((each) => each.toString('latin1'))).toEqual(
          first?.map((each) => each.toString('latin1')),
        );
        const bytes = first?.reduce((sum, { length: one }) => sum + one, 0) ?? 0;
        expect(bytes).toBeLessThanOrEqual(frame.length + 2048 * (200 + frame.length));
        for (const stored of first ?? [])
          expect(stored.length).toBeLessThanOrEqual(VNET + Math.max(60, frame.length));
      }),
      { seed: 5, numRuns: 400 },
    );
  });
});

test('what is plain, and the sum of an odd number of bytes', () => {
  expect(isPlain(Buffer.alloc(VNET), 0)).toBe(true);
  expect(isPlain(Buffer.from('02000000000000000000', 'hex'), 0)).toBe(true); // a checksum already verified
  expect(isPlain(Buffer.from('01000000000000000000', 'hex'), 0)).toBe(false);
  expect(isPlain(Buffer.from('00010000000000000000', 'hex'), 0)).toBe(false);
  // RFC 1071, section 3: 00 01 f2 03 f4 f5 f6 f7 sums up to ddf2.
  const example = Buffer.from('0001f203f4f5f6f7', 'hex');
  expect(foldChecksum(addWords(0, example, 0, 8))).toBe(~0xddf2 & 0xffff);
  expect(foldChecksum(addWords(0, example, 0, 7))).toBe(
    foldChecksum(addWords(0, Buffer.from('0001f203f4f5f600', 'hex'), 0, 8)),
  );
});
