import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatIpv6 } from '../../src/frame/address.js';
import {
  DESTINATION,
  formatMac,
  isMulticast,
  isReservedMulticast,
  parseMac,
  SOURCE,
} from '../../src/frame/ethernet.js';

const bytes = (...hex: string[]): Uint8Array =>
  new Uint8Array(Buffer.from(hex.join('').replaceAll(' ', ''), 'hex'));
const HEADER = bytes('020000000002 020000000001 0800');

describe('addresses', () => {
  it('MAC text and bytes', () => {
    expect(formatMac(HEADER, DESTINATION)).toBe('02:00:00:00:00:02');
    expect(formatMac(HEADER, SOURCE)).toBe('02:00:00:00:00:01');
    expect(parseMac('02:AB:00:0c:d0:FF')).toEqual(Uint8Array.of(2, 0xab, 0, 0x0c, 0xd0, 0xff));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (mac) => {
        expect(parseMac(formatMac(mac))).toEqual(mac);
      }),
      { seed: 20_251 },
    );
  });

  it.each([
    '',
    '02:00:00:00:00',
    '02:00:00:00:00:01:02',
    '2:0:0:0:0:1',
    '02-00-00-00-00-01',
    '02:00:00:00:00:0g',
    ' 02:00:00:00:00:01',
    '02:00:00:00:00:01\n',
  ])('refuses %j as a MAC', (text) => {
    expect(() => parseMac(text)).toThrow(expect.objectContaining({ code: 'USAGE' }) as Error);
  });

  it('group addresses', () => {
    expect(isMulticast(bytes('ffffffffffff'))).toBe(true);
    expect(isMulticast(bytes('333300000001'))).toBe(true);
    expect(isMulticast(bytes('020000000001'))).toBe(false);
    expect(isReservedMulticast(bytes('0180c2000000'))).toBe(true);
    expect(isReservedMulticast(bytes('0180c200000f'))).toBe(true);
    expect(isReservedMulticast(bytes('0180c2000010'))).toBe(false);
    expect(isReservedMulticast(bytes('0180c2000100'))).toBe(false);
    expect(isReservedMulticast(bytes('ff 0180c200000e'), 1)).toBe(true);
    expect(isReservedMulticast(bytes('0180c20000'))).toBe(false);
  });

  it('IPv6 as a URL writes it', () => {
    // The WHATWG URL parser compresses as RFC 5952 does: an oracle of other authors.
    const group = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 0xffff }));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const full = groups.map((one) => one.toString(16).padStart(4, '0'));
        expect(`[${formatIpv6(bytes(...full), 0)}]`).toBe(new URL(`http://[${full.join(':')}]`).hostname);
      }),
      { seed: 20_252, numRuns: 1_000 },
    );
  });
});
