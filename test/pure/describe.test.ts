import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeFrame } from '../../src/frame/describe.js';

const bytes = (...hex: string[]): Uint8Array =>
  new Uint8Array(Buffer.from(hex.join('').replaceAll(' ', ''), 'hex'));
const frame = (...payload: string[]): Uint8Array => bytes('020000000002 020000000001', ...payload);
const STATIONS = '02:00:00:00:00:01 > 02:00:00:00:00:02';
const zeros = (count: number): string => '00'.repeat(count);

/** IPv4 10.0.0.1 > 10.0.0.2 around a payload. */
const ipv4 = (protocol: string, payload: string, fragment = '0000'): string => {
  const total = (20 + payload.replaceAll(' ', '').length / 2).toString(16).padStart(4, '0');
  return `0800 4500 ${total} 0007 ${fragment} 40 ${protocol} 0000 0a000001 0a000002 ${payload}`;
};
/** IPv6 fe80::1 > ff02::1:ff00:2 around a payload. */
const ipv6 = (next: string, payload: string): string => {
  const length = (payload.replaceAll(' ', '').length / 2).toString(16).padStart(4, '0');
  return `86dd 60000000 ${length} ${next} ff fe80${zeros(13)}01 ff02${zeros(9)}01ff000002 ${payload}`;
};
const tcp = (flags: string, payload = ''): string =>
  `1389 0050 00000064 000000c8 50${flags} 01f6 0000 0000 ${payload}`;
const V4 = 'IPv4 10.0.0.1 > 10.0.0.2';
const V6 = 'IPv6 fe80::1 > ff02::1:ff00:2';
const V4_TCP = 'IPv4 10.0.0.1:5001 > 10.0.0.2:80';

describe('one line', () => {
  it.each([
    ['TCP', frame(ipv4('06', tcp('18', zeros(5)))), `${V4_TCP} TCP [P.] seq 100 ack 200 win 502 len 5`],
    ['TCP SYN', frame(ipv4('06', tcp('c2'))), `${V4_TCP} TCP [SEW] seq 100 win 502 len 0`],
    [
      'TCP padded to 60 bytes',
      frame(ipv4('06', tcp('11')), zeros(6)),
      `${V4_TCP} TCP [F.] seq 100 ack 200 win 502 len 0`,
    ],
    ['TCP cut short', frame(ipv4('06', tcp('10'))).subarray(0, 50), `${V4} TCP, cut short`],
    [
      'TCP with a bad header length',
      frame(ipv4('06', tcp('10').replace(' 5010', ' f010'))),
      `${V4_TCP} TCP [.] seq 100, bad header length`,
    ],
    [
      'UDP',
      frame(ipv4('11', `0bb8 0bb9 000b 0000 ${zeros(3)}`)),
      'IPv4 10.0.0.1:3000 > 10.0.0.2:3001 UDP len 3',
    ],
    [
      'ICMP',
      frame(ipv4('01', `0800 0000 0001 0002 ${zeros(56)}`)),
      `${V4} ICMP echo request id 1 seq 2 len 56`,
    ],
    ['ICMP of an unknown type', frame(ipv4('01', `2a07 0000 0000 0000`)), `${V4} ICMP type 42 code 7`],
    ['an unknown protocol', frame(ipv4('fe', zeros(4))), `${V4} protocol 254 len 4`],
    [
      'the first fragment',
      frame(ipv4('11', `0bb8 0bb9 05dc 0000 ${zeros(8)}`, '2000')),
      'IPv4 10.0.0.1:3000 > 10.0.0.2:3001 UDP len 8, fragment id 7 offset 0+',
    ],
    [
      'the last fragment',
      frame(ipv4('11', zeros(8), '00b9')),
      `${V4} protocol 17 fragment id 7 offset 1480 len 8`,
    ],
    ['IPv4 with a bad header', frame('0800 4400', zeros(40)), 'IPv4, bad header'],
    ['IPv4 shorter than its header', frame('0800 4500 0013', zeros(40)), 'IPv4, bad header'],
    ['IPv4 cut short', frame('0800 4500'), 'IPv4, cut short'],
    [
      'UDP over IPv6',
      frame(ipv6('11', `0bb8 0bb9 000b 0000 ${zeros(3)}`)),
      'IPv6 [fe80::1]:3000 > [ff02::1:ff00:2]:3001 UDP len 3',
    ],
    [
      'neighbor solicitation',
      frame(ipv6('3a', `8700 0000 00000000 fe80${zeros(13)}02`)),
      `${V6} ICMPv6 neighbor solicitation, who has fe80::2`,
    ],
    [
      'neighbor advertisement',
      frame(ipv6('3a', `8800 0000 60000000 fe80${zeros(13)}02 0201020000000002`)),
      `${V6} ICMPv6 neighbor advertisement, target fe80::2`,
    ],
    [
      'router advertisement',
      frame(ipv6('3a', `8600 0000 ${zeros(12)}`)),
      `${V6} ICMPv6 router advertisement`,
    ],
    [
      'ping over IPv6',
      frame(ipv6('3a', `8000 0000 0001 0009 ${zeros(2)}`)),
      `${V6} ICMPv6 echo request id 1 seq 9 len 2`,
    ],
    [
      'behind a hop-by-hop header',
      frame(ipv6('00', `3a00 05020000 0100 8f00 0000 0000 0000`)),
      `${V6} ICMPv6 multicast listener report v2`,
    ],
    [
      'a later IPv6 fragment',
      frame(ipv6('2c', `1100 05a9 00000007 ${zeros(4)}`)),
      `${V6} protocol 17 fragment id 7 offset 1448+ len 4`,
    ],
    [
      'an extension header cut short',
      frame(ipv6('00', `3aff 05020000 0100`)),
      `${V6} extension header 0, cut short`,
    ],
    [
      'an extension header past the frame',
      frame(ipv6('3c', `3a01 ${zeros(14)}`)).subarray(0, -1),
      `${V6} extension header 60, cut short`,
    ],
    ['no next header', frame(ipv6('3b', '')), `${V6} no next header`],
    [
      'ARP question',
      frame(`0806 0001 0800 0604 0001 020000000001 0a000001 ${zeros(6)} 0a000002`),
      'ARP who-has 10.0.0.2 tell 10.0.0.1',
    ],
    [
      'ARP answer',
      frame('0806 0001 0800 0604 0002 020000000001 0a000001 020000000002 0a000002'),
      'ARP 10.0.0.1 is-at 02:00:00:00:00:01',
    ],
    [
      'ARP probe',
      frame(`0806 0001 0800 0604 0001 020000000001 ${zeros(10)} 0a000002`),
      'ARP probe who-has 10.0.0.2',
    ],
    [
      'ARP announcement',
      frame(`0806 0001 0800 0604 0001 020000000001 0a000001 ${zeros(6)} 0a000001`),
      'ARP who-has 10.0.0.1 tell 10.0.0.1 (announcement)',
    ],
    [
      'ARP for another network',
      frame(`0806 0006 0800 0604 0001 ${zeros(20)}`),
      'ARP operation 1, not IPv4 over Ethernet',
    ],
    ['ARP cut short', frame('0806 0001 0800 0604 0001'), 'ARP, cut short'],
    [
      'RARP',
      frame(`8035 0001 0800 0604 0003 020000000001 00000000 020000000001 00000000`),
      'RARP who-is 02:00:00:00:00:01 tell 02:00:00:00:00:01',
    ],
    [
      'VLAN',
      frame('8100 0005', ipv4('01', '0000 0000 0001 0002')),
      `vlan 5, ${V4} ICMP echo reply id 1 seq 2 len 0`,
    ],
    [
      'two VLANs, one with priority',
      frame('88a8 6064 8100 0005 88b5', zeros(4)),
      'vlan 100 priority 3, vlan 5, EtherType 0x88b5 (local experimental) len 4',
    ],
    ['nothing but tags', frame('81000001'.repeat(300)), 'vlan 1, vlan 1, vlan 1, vlan 1, more tags'],
    ['a tag cut short', frame('8100 0005'), 'VLAN tag, cut short'],
    ['an unknown EtherType', frame('4242', zeros(3)), 'EtherType 0x4242 len 3'],
    ['802.3', frame('0003 e0e003'), '802.3 LLC 0xe0e0 len 3'],
  ])('%s', (_what, given, expected) => {
    expect(describeFrame(given)).toBe(`${STATIONS}, ${expected}`);
  });

  it.each([
    ['00', `0026 424203 0000 02 02 ${zeros(32)}`, 'STP rapid'],
    ['02', '8809 01', 'LACP'],
    ['0e', '88cc 0200', 'LLDP len 2'],
    ['0f', '1234 00', 'EtherType 0x1234 len 1'],
  ])('reserved multicast …:%s', (last, payload, expected) => {
    const given = bytes(`0180c20000${last} 020000000001`, payload);
    expect(describeFrame(given)).toBe(
      `02:00:00:00:00:01 > 01:80:c2:00:00:${last}, ${expected}, reserved multicast`,
    );
  });

  it('says what is too short to be a frame', () => {
    expect(describeFrame(new Uint8Array(13))).toBe('runt of 13 bytes');
  });
});

describe('super-frame', () => {
  /** flags, gso_type, hdr_len, gso_size, csum_start, csum_offset */
  const vnet = (type: string, size: string): Uint8Array => bytes('01', type, '4200', size, '2200 1000');
  const given = frame(ipv4('06', tcp('10', zeros(4_345))));
  const line = `${STATIONS}, ${V4_TCP} TCP [.] seq 100 ack 200 win 502 len 4345`;

  it('counts the segments of the payload, headers aside', () => {
    expect(describeFrame(given, vnet('01', 'a805'))).toBe(`${line}, super-frame 4 × 1448`);
    const exact = frame(ipv4('06', tcp('10', zeros(4_344))));
    expect(describeFrame(exact, vnet('01', 'a805'))).toContain('super-frame 3 × 1448');
  });

  it('knows ECN and UDP segmentation', () => {
    expect(describeFrame(given, vnet('81', 'a805'))).toContain('super-frame 4 × 1448');
    const datagrams = frame(ipv4('11', `0bb8 0bb9 0000 0000 ${zeros(2_401)}`));
    expect(describeFrame(datagrams, vnet('05', 'b004'))).toContain('UDP len 2401, super-frame 3 × 1200');
  });

  it('is not said of plain frames, nor of a segment size of nothing', () => {
    expect(describeFrame(given, new Uint8Array(10))).toBe(line);
    expect(describeFrame(given, vnet('00', 'a805'))).toBe(line);
    expect(describeFrame(given, vnet('01', '0000'))).toBe(line);
  });

  it('trusts the frame where IP says a length of 0', () => {
    const big = frame(ipv4('06', tcp('10', zeros(100))));
    big[16] = big[17] = 0;
    expect(describeFrame(big, vnet('01', '3200'))).toContain('len 100, super-frame 2 × 50');
  });
});

describe('any bytes', () => {
  const types = ['0800', '0806', '8035', '86dd', '8100', '88a8', '8809', '88cc', '0026', ''].map((type) =>
    Buffer.from(type, 'hex'),
  );
  // Enough structure that the random part lands in the deep branches.
  const ip = [
    '',
    '45',
    '4f',
    `45000000000000004006`,
    `45000000000000004011`,
    `6000000000203aff`,
    `60000000ffff00ff`,
    `60000000ffff2cff`,
  ].map((start) => Buffer.from(start, 'hex'));
  const anyFrame = fc
    .tuple(fc.constantFrom(...types), fc.constantFrom(...ip), fc.uint8Array({ maxLength: 120 }))
    .map(
      ([type, start, rest]) => new Uint8Array([...new Uint8Array(12).fill(0xfe), ...type, ...start, ...rest]),
    );

  it('become one printable line', () => {
    fc.assert(
      fc.property(
        fc.oneof(anyFrame, fc.uint8Array({ maxLength: 80 })),
        fc.option(fc.uint8Array({ maxLength: 12 }), { nil: undefined }),
        (given, vnet) => {
          const text = describeFrame(given, vnet);
          expect(text).toMatch(/^[\x20-\x7e×]+$/);
          expect(text).not.toMatch(/NaN|undefined|len -|Infinity/);
        },
      ),
      { seed: 20_250, numRuns: 5_000 },
    );
  });

  it('cut anywhere, too', () => {
    const given = frame('8100 0005', ipv6('00', `3a00 05020000 0100 8700 0000 00000000 fe80${zeros(13)}02`));
    for (let end = 0; end <= given.length; end++) {
      expect(describeFrame(given.subarray(0, end))).toMatch(/^[\x20-\x7e×]+$/);
    }
  });

  it('of the longest frame stay one short line', () => {
    expect(describeFrame(new Uint8Array(65_600).fill(0x81)).length).toBeLessThan(200);
    const tags = frame('81000001'.repeat(16_396));
    expect(describeFrame(tags).length).toBeLessThan(200);
  });
});
