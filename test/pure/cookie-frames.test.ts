/** ARP packets and cookies as bytes. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeArp, encodeArpProbe, parseArp, type Arp } from '../../src/frame/arp.js';
import {
  cookieMac,
  cookieStem,
  ECHO_ANSWER,
  encodeEcho,
  encodeEchoRequest,
  encodeProbe,
  parseEcho,
  portOf,
  stemOf,
} from '../../src/frame/cookie.js';
import { describeFrame } from '../../src/frame/describe.js';
import { isMulticast } from '../../src/frame/ethernet.js';
import { NONCE_BYTES } from '../../src/frame/sentinel.js';

const seed = { seed: 3_000_001 };
const mac = fc.maxSafeNat().map((n) => n % 2 ** 48);
const ip = fc.nat(0xffff_ffff);
const arp: fc.Arbitrary<Arp> = fc.record({
  operation: fc.nat(0xffff),
  senderMac: mac,
  senderIp: ip,
  targetMac: mac,
  targetIp: ip,
});
const nonce = fc.uint8Array({ minLength: NONCE_BYTES, maxLength: NONCE_BYTES });
const port = fc.nat(1023);
/** Anything, and anything that begins well: with a length, and where to look in it. */
const anyBytes = (good: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> =>
  fc.oneof(
    fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
    fc.tuple(good, fc.nat(59), fc.nat(255), fc.nat(60)).map(([frame, at, value, length]) => {
      frame[at] = value;
      return frame.subarray(0, length);
    }),
  );

describe('ARP', () => {
  test('what is written is read, tagged or not', () => {
    fc.assert(
      fc.property(arp, mac, fc.integer({ min: 0, max: 4094 }), (packet, destination, vlan) => {
        const frame = encodeArp(packet, destination, vlan);
        expect(frame).toHaveLength(60);
        expect(frame.readUIntBE(0, 6)).toBe(destination);
        const at = vlan === 0 ? 14 : 18;
        expect(frame.readUInt16BE(at - 2)).toBe(0x0806);
        if (vlan !== 0) expect(frame.readUInt32BE(12)).toBe(0x8100_0000 + vlan);
        expect(parseArp(frame, at, frame.length)).toEqual(packet);
      }),
      seed,
    );
  });

  test('a probe, byte by byte (RFC 826, RFC 5227)', () => {
    const probe = encodeArpProbe(0x0212_3456_789a, 0x0a01_0002);
    expect(probe.toString('hex', 0, 42)).toBe(
      'ffffffffffff' +
        '02123456789a' +
        '0806' +
        '0001080006040001' +
        '02123456789a' +
        '00000000' +
        '000000000000' +
        '0a010002',
    );
    expect(describeFrame(probe)).toMatch(/ARP probe who-has 10\.1\.0\.2$/);
    expect(describeFrame(encodeArpProbe(0x02_00_00_00_00_01, 0x0a01_0002, 7))).toContain('vlan 7, ARP probe');
  });

  test('whatever the bytes and wherever one looks: an answer or none, never an error', () => {
    const good = arp.map((packet) => encodeArp(packet, 0));
    fc.assert(
      fc.property(anyBytes(good), fc.nat(100), fc.nat(120), (bytes, at, end) => {
        const packet = parseArp(bytes, at, end);
        if (packet !== undefined) expect(at + 28).toBeLessThanOrEqual(Math.min(end, bytes.length));
      }),
      seed,
    );
  });

  test.each([
    ['another hardware', 0],
    ['another protocol', 2],
    ['addresses of other lengths', 4],
  ])('%s is not ours to read', (_what, at) => {
    const frame = encodeArpProbe(1, 2);
    expect(parseArp(frame, 14, 60)).toBeDefined();
    frame[14 + at]! ^= 1;
    expect(parseArp(frame, 14, 60)).toBeUndefined();
  });
});

describe('cookie', () => {
  test('what is written is read', () => {
    fc.assert(
      fc.property(fc.nat(255), nonce, fc.nat(0xffff), mac, mac, (operation, bytes, number, from, to) => {
        const frame = encodeEcho({ operation, nonce: bytes, port: number }, from, to);
        expect([frame.length, frame.readUIntBE(0, 6), frame.readUIntBE(6, 6)]).toEqual([60, to, from]);
        const echo = parseEcho(frame, 14, 60)!;
        expect([echo.operation, echo.port]).toEqual([operation, number]);
        expect(Buffer.compare(echo.nonce, bytes)).toBe(0);
      }),
      seed,
    );
  });

  test('whatever the bytes: an echo or none, never an error', () => {
    const good = nonce.map((bytes) => encodeEchoRequest(bytes, 3));
    fc.assert(
      fc.property(anyBytes(good), fc.nat(100), fc.nat(120), (bytes, at, end) => {
        const echo = parseEcho(bytes, at, end);
        if (echo !== undefined) expect(echo.nonce).toHaveLength(NONCE_BYTES);
      }),
      seed,
    );
  });

  test('an echo request as docs/echo-agent.md shows it', () => {
    const bytes = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
    expect(encodeEchoRequest(bytes, 5).toString('hex')).toBe(
      'ffffffffffff' + '021122334405' + '88b5' + Buffer.from('STILLECHO').toString('hex') + '01' +
        '00112233445566778899aabbccddeeff' + '0005' + '00'.repeat(18),
    ); // prettier-ignore
  });

  test('its MAC is one no card has, tells the port, and shows the nonce', () => {
    fc.assert(
      fc.property(nonce, port, (bytes, number) => {
        const own = cookieMac(bytes, number);
        const text = Buffer.alloc(6);
        text.writeUIntBE(own, 0, 6);
        expect(isMulticast(text)).toBe(false);
        expect(text[0]! & 2).toBe(2); // locally administered
        expect([portOf(own), stemOf(own)]).toEqual([number, cookieStem(bytes)]);
        for (const frame of [encodeEchoRequest(bytes, number), encodeProbe(bytes, number, 1, 0)]) {
          expect(frame.readUIntBE(6, 6)).toBe(own);
        }
      }),
      seed,
    );
  });

  test('nonces that differ in what a MAC shows of them give other MACs', () => {
    fc.assert(
      fc.property(nonce, fc.nat(35), (bytes, bit) => {
        const places = [
          7,
          6,
          5,
          4,
          3,
          2,
          ...Array.from({ length: 24 }, (_, i) => 8 + i),
          39,
          38,
          37,
          36,
          35,
          34,
        ];
        const place = places[bit]!;
        const other = Uint8Array.from(bytes);
        other[place >> 3]! ^= 1 << (place & 7);
        expect(cookieStem(other)).not.toBe(cookieStem(bytes));
      }),
      seed,
    );
  });

  test('an answer is the request with two fields changed', () => {
    const bytes = Buffer.alloc(NONCE_BYTES, 7);
    const request = parseEcho(encodeEchoRequest(bytes, 9), 14, 60)!;
    const answer = encodeEcho(
      { ...request, operation: ECHO_ANSWER },
      0x52_54_00_00_00_01,
      cookieMac(bytes, 9),
    );
    expect(parseEcho(answer, 14, 60)).toEqual({ ...request, operation: ECHO_ANSWER });
  });
});
