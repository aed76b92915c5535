/** Frames as a guest might send them: well-formed ones of many kinds, spoilt, and plain bytes. */
import * as fc from 'fast-check';
import { MAX_FRAME_BYTES, VNET_HEADER_BYTES } from '../../src/frame/types.js';
import { edits, spoilBytes } from './spoil.js';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

const A = '02 00 00 00 00 01';
const B = '02 00 00 00 00 02';
const ALL = 'ff ff ff ff ff ff';
const IP4 = `45 00 00 3c 12 34 40 00 40 TT 00 00 0a 00 00 01 0a 00 00 02`;
const ip4 = (protocol: string, rest: string): string => `08 00 ${IP4.replace('TT', protocol)} ${rest}`;
const IP6 = (next: string, rest: string): string =>
  `86 dd 60 00 00 00 00 20 ${next} 40 fe80000000000000 0000000000000001 ff02000000000000 0000000000000002 ${rest}`;

/** Valid beginnings; short ones are padded by whoever sends them. */
export const SAMPLES: readonly Uint8Array[] = [
  hex(`${ALL} ${A} 08 06 0001 0800 06 04 0001 ${A} 0a000001 000000000000 0a000002`),
  hex(`${B} ${A} ${ip4('06', '1234 0050 00000001 00000002 5012 ffff 0000 0000 48656c6c6f')}`),
  hex(`${B} ${A} ${ip4('11', '1234 0035 0010 0000 0123456789abcdef')}`),
  hex(`${B} ${A} ${ip4('01', '08 00 0000 0001 0002 0123456789')}`),
  hex(`33 33 00 00 00 01 ${A} ${IP6('3a', '87 00 0000 00000000 fe80000000000000 0000000000000009')}`),
  hex(
    `33 33 00 00 00 01 ${A} ${IP6('00', '2c 00 0000 0000 0000 3a 00 00 08 00 00 00 01 80 00 0000 0001 0002')}`,
  ),
  hex(`${ALL} ${A} 81 00 60 05 ${ip4('11', '0044 0043 0010 0000')}`),
  hex(`${ALL} ${A} 88 a8 00 05 81 00 00 06 81 00 00 07 08 06 0001 0800 06 04 0001`),
  hex(`01 80 c2 00 00 00 ${A} 00 26 42 42 03 00 00 02 02 3c 00000000`),
  hex(`01 80 c2 00 00 0e ${A} 88 cc 02 07 04 000000000001`),
  hex(`01 80 c2 00 00 0f ${A} 88 b5 5354494c4c57495245 00112233445566778899aabbccddeeff`),
];

const length = fc.oneof(
  { weight: 6, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 1600 }) },
  { weight: 1, arbitrary: fc.constantFrom(9000, 65_535, MAX_FRAME_BYTES - 1, MAX_FRAME_BYTES) },
);

/** At most MAX_FRAME_BYTES of anything. */
export const anyFrame: fc.Arbitrary<Buffer> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .record({ sample: fc.constantFrom(...SAMPLES), changes: edits, length, fill: fc.nat(255) })
      .map(({ sample, changes, length: wanted, fill }) => {
        const bytes = spoilBytes(sample, changes);
        const more = Math.max(0, wanted - bytes.length);
        return Buffer.concat([bytes, Buffer.alloc(more, fill)]).subarray(0, MAX_FRAME_BYTES);
      }),
  },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)) },
);

const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, 4, 14, 1448, 0x7fff, 0xfffb, 0xfffc, 0xffff),
  fc.nat(0xffff),
);

/** struct virtio_net_hdr of any content; the kernel makes most of those we see, an image any. */
export const anyVnet: fc.Arbitrary<Buffer> = fc.oneof(
  fc.constant(Buffer.alloc(VNET_HEADER_BYTES)),
  fc
    .record({
      flags: fc.nat(255),
      gso: fc.nat(255),
      headerLength: word,
      size: word,
      start: word,
      offset: word,
    })
    .map(({ flags, gso, headerLength, size, start, offset }) => {
      const vnet = Buffer.alloc(VNET_HEADER_BYTES);
      vnet[0] = flags;
      vnet[1] = gso;
      vnet.writeUInt16LE(headerLength, 2);
      vnet.writeUInt16LE(size, 4);
      vnet.writeUInt16LE(start, 6);
      vnet.writeUInt16LE(offset, 8);
      return vnet;
    }),
);
