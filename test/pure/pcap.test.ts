import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import {
  decode,
  encodeClassic,
  encodeHeader,
  encodeInterfaceStatistics,
  encodePacket,
  ENTERPRISE_NUMBER,
  MAX_CUSTOM_BYTES,
  MAX_OPTION_BYTES,
  MAX_PACKET_BYTES,
} from '../../src/pcap/index.js';
import { anyCapture, encodeFile, PACKETS, SECTION } from './pcap-samples.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const unhex = (...text: string[]): string => text.join('').replaceAll(' ', '');

describe('golden bytes', () => {
  it('section header and interface', () => {
    expect(hex(encodeHeader({ application: 'sw', comment: 'c', interfaces: [{ name: 'a/0' }] }))).toBe(
      unhex(
        '0a0d0d0a 30000000 4d3c2b1a 0100 0000 ffffffffffffffff',
        '0100 0100 63000000  0400 0200 73770000  0000 0000  30000000',
        '01000000 28000000 0100 0000 00000000',
        '0200 0300 612f3000  0900 0100 09000000  0000 0000  28000000',
      ),
    );
  });

  it('packet with every option', () => {
    const packet = {
      interface: 2,
      timeNs: 0x0102_0304_0506_0708n,
      bytes: Uint8Array.of(0xaa, 0xbb, 0xcc, 0xdd, 0xee),
      packetId: 9n,
      direction: 'outbound',
      comment: 'é',
      custom: Uint8Array.of(0x55),
      dropped: 4,
    } as const;
    expect(ENTERPRISE_NUMBER).toBe(0x7ed9);
    expect(hex(encodePacket(packet))).toBe(
      unhex(
        '06000000 60000000 02000000 04030201 08070605 05000000 05000000 aabbccdd ee000000',
        '0100 0200 c3a90000  0200 0400 02000000  0400 0800 0400000000000000',
        '0500 0800 0900000000000000  ad0b 0500 d97e0000 55000000  0000 0000  60000000',
      ),
    );
  });

  it('packet without options has no end mark either', () => {
    expect(hex(encodePacket({ interface: 0, timeNs: 1n, bytes: new Uint8Array(0) }))).toBe(
      unhex('06000000 20000000 00000000 00000000 01000000 00000000 00000000 20000000'),
    );
  });

  it('interface statistics', () => {
    expect(hex(encodeInterfaceStatistics(1, 2n ** 32n, { received: 5, dropped: 6 }))).toBe(
      unhex(
        '05000000 34000000 01000000 01000000 00000000',
        '0400 0800 0500000000000000  0500 0800 0600000000000000  0000 0000  34000000',
      ),
    );
  });

  it('classic', () => {
    const packet = { timeNs: 0x6553_f100n * 1_000_000_000n + 123_456_789n, bytes: Uint8Array.of(1, 2, 3) };
    expect(hex(encodeClassic([packet]))).toBe(
      unhex(
        'd4c3b2a1 0200 0400 00000000 00000000 00000400 01000000',
        '00f15365 40e20100 03000000 03000000 010203',
      ),
    );
  });
});

describe('round trip', () => {
  it('keeps every field', () => {
    expect(decode(encodeFile(SECTION, PACKETS))).toEqual({ section: SECTION, packets: PACKETS });
  });

  it('keeps whatever can be said', () => {
    fc.assert(
      fc.property(anyCapture, (capture) => {
        expect(decode(encodeFile(capture.section, capture.packets))).toEqual(capture);
      }),
      { seed: 20_240, numRuns: 300 },
    );
  });

  it('reads a Buffer in the middle of another', () => {
    const whole = Buffer.concat([Buffer.alloc(3), encodeFile(SECTION, PACKETS), Buffer.alloc(5)]);
    expect(decode(whole.subarray(3, -5)).packets).toEqual(PACKETS);
  });

  it('carries a TSO super-frame, and the longest packet, comment and custom option', () => {
    for (const length of [65_600, MAX_PACKET_BYTES]) {
      const packet = {
        interface: 0,
        timeNs: 1n,
        bytes: new Uint8Array(length).fill(7),
        comment: 'c'.repeat(MAX_OPTION_BYTES),
        custom: new Uint8Array(MAX_CUSTOM_BYTES).fill(8),
      };
      const { packets } = decode(encodeFile(SECTION, [packet]));
      expect(packets).toHaveLength(1);
      expect(Buffer.compare(packets[0]!.bytes, packet.bytes)).toBe(0);
      expect(packets[0]!.comment).toBe(packet.comment);
      expect(Buffer.compare(packets[0]!.custom!, packet.custom)).toBe(0);
    }
  });

  it('passes over statistics', () => {
    const file = Buffer.concat([
      encodeFile(SECTION, PACKETS),
      encodeInterfaceStatistics(0, 1n, { received: 1, dropped: 0 }),
    ]);
    expect(decode(file).packets).toEqual(PACKETS);
  });
});

describe('refuses to write what the format has no room for', () => {
  const packet = { interface: 0, timeNs: 1n, bytes: new Uint8Array(60) };
  it.each([
    ['a long packet', () => encodePacket({ ...packet, bytes: new Uint8Array(MAX_PACKET_BYTES + 1) })],
    ['a long comment', () => encodePacket({ ...packet, comment: 'é'.repeat(32_768) })],
    ['a long custom option', () => encodePacket({ ...packet, custom: new Uint8Array(MAX_CUSTOM_BYTES + 1) })],
    ['a time before 1970', () => encodePacket({ ...packet, timeNs: -1n })],
    ['a time beyond 64 bits', () => encodePacket({ ...packet, timeNs: 2n ** 64n })],
    ['a negative drop count', () => encodePacket({ ...packet, dropped: -1 })],
    ['a classic time after 2106', () => encodeClassic([{ ...packet, timeNs: 2n ** 32n * 1_000_000_000n }])],
    ['a classic time before 1970', () => encodeClassic([{ ...packet, timeNs: -1n }])],
    [
      'a long classic packet',
      () => encodeClassic([{ ...packet, bytes: new Uint8Array(MAX_PACKET_BYTES + 1) }]),
    ],
  ])('%s', (_what, encode) => {
    expect(encode).toThrow(StillwireError);
  });
});
