/** Files Stillwire did not write: the other byte order, other clocks, blocks and options it does not know. */
import { describe, expect, it } from 'vitest';
import { decode } from '../../src/pcap/index.js';
import type { PcapLimits } from '../../src/pcap/index.js';
import { bytesOf, encodeFile, foreign, PACKETS, SECTION } from './pcap-samples.js';

const little = foreign('little');
const section = little.block(0x0a0d0d0a, little.header());
const ethernet = little.block(1, [...little.shorts(1, 0), ...little.words(0)]);
const packet = (options: readonly number[] = [], index = 0): number[] =>
  little.block(6, [...little.words(index, 0, 5, 4, 4), 1, 2, 3, 4, ...options]);
const read = (...blocks: readonly number[][]): ReturnType<typeof decode> =>
  decode(Uint8Array.from(blocks.flat()));
const refusal = (file: Uint8Array, limits?: Partial<PcapLimits>): unknown => {
  try {
    decode(file, limits);
  } catch (error) {
    return error;
  }
  return 'read without complaint';
};

describe.each(['little', 'big'] as const)('%s-endian', (order) => {
  const { block, option, header, words, shorts } = foreign(order);
  const ascii = (text: string): number[] => [...Buffer.from(text)];
  const data = [1, 2, 3, 4, 5];

  it('reads fields, options and both kinds of packet', () => {
    const file = [
      block(0x0a0d0d0a, [...header(), ...option(2, ascii('cpu')), ...option(4, ascii('other'))]),
      block(1, [...shorts(1, 0), ...words(65_535), ...option(2, ascii('eth9')), ...option(0, [])]),
      block(4, [0, 0, 0, 0]),
      block(6, [
        ...[...words(0, 1, 2, 5, 5), ...data, 0, 0, 0],
        ...option(1, ascii('one')),
        ...option(1, ascii('two')),
        ...option(2, words(0xfffffffd)),
        ...option(3, [1, 2]),
        ...option(5, bytesOf(order, 8, 77)),
        ...option(2989, [...words(9), 6, 6]),
        ...option(2989, [...words(32_473), 8]),
        ...option(0, []),
      ]),
      block(0xbad, words(1)),
      block(3, [...words(5), ...data]),
    ];
    expect(decode(Uint8Array.from(file.flat()))).toEqual({
      section: { application: 'other', interfaces: [{ name: 'eth9' }] },
      packets: [
        {
          interface: 0,
          timeNs: (2n ** 32n + 2n) * 1_000n,
          bytes: Uint8Array.from(data),
          packetId: 77n,
          direction: 'inbound',
          comment: 'one\ntwo',
          custom: Uint8Array.of(8),
        },
        { interface: 0, timeNs: 0n, bytes: Uint8Array.from(data) },
      ],
    });
  });

  it.each([
    ['milliseconds', 3, 0n, 5_000_000n],
    ['nanoseconds', 9, 0n, 5n],
    ['picoseconds', 12, 0n, 0n],
    ['the finest clock there is', 127, 0n, 0n],
    ['quarters of a second', 0x82, 0n, 1_250_000_000n],
    ['seconds and an offset', 0, 10n, 15_000_000_000n],
    ['an offset back', 0, -2n, 3_000_000_000n],
  ])('clock in %s', (_what, resolution, offset, expected) => {
    const clock = [...option(9, [resolution]), ...option(14, bytesOf(order, 8, offset))];
    const file = [
      block(0x0a0d0d0a, header()),
      block(1, [...shorts(1, 0), ...words(0), ...clock]),
      block(6, words(0, 0, 5, 0, 0)),
    ];
    expect(decode(Uint8Array.from(file.flat())).packets[0]?.timeNs).toBe(expected);
  });
});

it('numbers the interfaces of several sections on, whatever their byte orders', () => {
  const big = foreign('big');
  const second = [big.block(0x0a0d0d0a, big.header()), big.block(1, [...big.shorts(1, 0), ...big.words(0)])];
  const { section: first, packets } = decode(
    Uint8Array.from([
      ...encodeFile(SECTION, PACKETS),
      ...second.flat(),
      ...big.block(6, big.words(0, 0, 1, 0, 0)),
    ]),
  );
  expect(first).toEqual({ ...SECTION, interfaces: [...SECTION.interfaces, { name: '' }] });
  expect(packets.map((one) => one.interface)).toEqual([1, 0, 2]);
  expect(() => read(section, ethernet, section, packet())).toThrow('not declared');
});

describe('refuses', () => {
  const { block, option, words, shorts } = little;
  const flipped = (bytes: readonly number[], at: number, value: number): number[] => bytes.with(at, value);
  it.each<[string, number[][], number]>([
    ['an empty file', [], 0],
    ['classic pcap', [[0xd4, 0xc3, 0xb2, 0xa1, ...new Array<number>(20).fill(0)]], 0],
    ['a file that begins with a packet', [packet()], 0],
    ['a wrong byte-order magic', [flipped(section, 8, 0)], 8],
    ['another version', [flipped(section, 12, 2)], 12],
    ['a short section header', [block(0x0a0d0d0a, words(0x1a2b3c4d, 1))], 8],
    ['another link type', [section, block(1, [...shorts(113, 0), ...words(0)])], 36],
    ['a short interface block', [section, block(1, words(1))], 36],
    [
      'a text that is not UTF-8',
      [section, block(1, [...shorts(1, 0), ...words(0), ...option(2, [0xff])])],
      48,
    ],
    [
      'two names',
      [section, block(1, [...shorts(1, 0), ...words(0), ...option(2, [65]), ...option(2, [66])])],
      52,
    ],
    ['a clock of two bytes', [section, block(1, [...shorts(1, 0), ...words(0), ...option(9, [6, 6])])], 44],
    ['an undeclared interface', [section, ethernet, packet([], 1)], 56],
    ['a simple packet without interface', [section, block(3, words(0))], 36],
    ['a simple packet shorter than its block', [section, ethernet, block(3, words(0, 0))], 56],
    ['an obsolete packet block', [section, ethernet, block(2, words(0, 0, 0, 0, 0))], 48],
    ['a short packet block', [section, ethernet, block(6, words(0, 0, 0, 0))], 56],
    ['a packet cut by a snapshot length', [section, ethernet, block(6, words(0, 0, 0, 0, 60))], 56],
    ['a packet longer than its block', [section, ethernet, block(6, words(0, 0, 0, 5, 5, 0))], 56],
    ['a packet longer than any', [section, ethernet, block(6, words(0, 0, 0, 0xffffffff, 0xffffffff))], 56],
    ['an option longer than its block', [section, ethernet, packet(shorts(1, 1))], 80],
    ['options behind their end', [section, ethernet, packet([...option(0, []), ...option(1, [65])])], 80],
    ['an end of options with a length', [section, ethernet, packet([...shorts(0, 1), 1, 0, 0, 0])], 80],
    ['a custom option without a number', [section, ethernet, packet(option(2989, [1, 2]))], 80],
    [
      'two custom options of ours',
      [section, ethernet, packet([0, 0].flatMap(() => option(2989, words(32_473))))],
      88,
    ],
    ['a drop count beyond 2^53', [section, ethernet, packet(option(4, words(0, 0x200000 + 1)))], 56],
    [
      'a time before 1970',
      [section, block(1, [...shorts(1, 0), ...words(0), ...option(14, words(0, 0x80000000))]), packet()],
      72,
    ],
    [
      'a time that nanoseconds do not hold',
      [
        section,
        block(1, [...shorts(1, 0), ...words(0), ...option(9, [0])]),
        block(6, words(0, 0xffffffff, 0, 0, 0)),
      ],
      68,
    ],
    ['a length that is no multiple of 4', [section, flipped(ethernet, 4, 17)], 32],
    ['a length of nothing', [section, flipped(ethernet, 4, 8)], 32],
    ['a length beyond the file', [section, flipped(ethernet, 4, 24)], 32],
    ['two lengths that differ', [section, flipped(ethernet, 16, 24)], 44],
    ['less than a block at the end', [section, words(1, 8)], 28],
  ])('%s, and says where', (_what, blocks, offset) => {
    expect(refusal(Uint8Array.from(blocks.flat()))).toMatchObject({
      name: 'StillwireError',
      code: 'IMAGE_INVALID',
      details: { offset },
    });
  });

  it('more than the limits allow', () => {
    const file = encodeFile(SECTION, PACKETS);
    expect(decode(file, { maxPackets: 2, maxPacketBytes: 61 }).packets).toHaveLength(2);
    expect(refusal(file, { maxPackets: 1 })).toMatchObject({ code: 'IMAGE_INVALID' });
    expect(refusal(file, { maxPacketBytes: 60 })).toMatchObject({ code: 'IMAGE_INVALID' });
  });
});
