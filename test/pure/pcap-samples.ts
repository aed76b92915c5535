/** Captures the pcap tests share: a small one with every field, random ones, and foreign ones built by hand. */
import fc from 'fast-check';
import { encodeHeader, encodePacket } from '../../src/pcap/index.js';
import type { PcapPacket, PcapSection } from '../../src/pcap/index.js';

export const SECTION: PcapSection = {
  application: 'stillwire 0.1.0',
  comment: 'checkpoint demo',
  interfaces: [{ name: 'alice/eth0', description: 'segment left' }, { name: 'bob/eth0' }],
};

export const PACKETS: readonly PcapPacket[] = [
  {
    interface: 1,
    timeNs: 1_700_000_000_123_456_789n,
    bytes: Uint8Array.from({ length: 61 }, (_, i) => i),
    packetId: 7n,
    direction: 'inbound',
    comment: 'held for bob/eth0 – não entregue',
    custom: Uint8Array.of(1, 2, 3, 4, 5),
    dropped: 3,
  },
  { interface: 0, timeNs: 1_700_000_000_123_456_790n, bytes: new Uint8Array(60), direction: 'outbound' },
];

export const encodeFile = (section: PcapSection, packets: readonly PcapPacket[]): Uint8Array =>
  new Uint8Array(Buffer.concat([encodeHeader(section), ...packets.map(encodePacket)]));

// 'binary' is every code point but lone surrogates, which UTF-8 cannot carry.
const anyText = fc.string({ unit: 'binary', maxLength: 40 });
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined });
/** Leaves absent fields out, as `exactOptionalPropertyTypes` wants them. */
type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };
const present = <T extends object>(record: T): Present<T> =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Present<T>;

const anySection = fc
  .record({
    application: anyText,
    comment: maybe(anyText),
    interfaces: fc.array(
      fc.record({ name: anyText, description: maybe(anyText) }).map((one) => present(one)),
      { minLength: 1, maxLength: 5 },
    ),
  })
  .map((one) => present(one));

const anyPacket = (interfaces: number): fc.Arbitrary<PcapPacket> =>
  fc
    .record({
      interface: fc.nat(interfaces - 1),
      timeNs: fc.bigInt(0n, 2n ** 64n - 1n),
      bytes: fc.uint8Array({ maxLength: 70 }),
      packetId: maybe(fc.bigInt(0n, 2n ** 64n - 1n)),
      direction: maybe(fc.constantFrom('inbound', 'outbound')),
      comment: maybe(anyText),
      custom: maybe(fc.uint8Array({ maxLength: 70 })),
      dropped: maybe(fc.maxSafeNat()),
    })
    .map((one) => present(one));

export const anyCapture: fc.Arbitrary<{ section: PcapSection; packets: PcapPacket[] }> = anySection.chain(
  (section) =>
    fc.record({
      section: fc.constant(section),
      packets: fc.array(anyPacket(section.interfaces.length), { maxLength: 8 }),
    }),
);

type Order = 'little' | 'big';

export const bytesOf = (order: Order, width: 1 | 2 | 4 | 8, ...values: (number | bigint)[]): number[] =>
  values.flatMap((value) => {
    const bits = BigInt.asUintN(width * 8, BigInt(value));
    const bytes = Array.from({ length: width }, (_, i) => Number((bits >> BigInt(8 * i)) & 0xffn));
    return order === 'little' ? bytes : bytes.reverse();
  });

const pad = (bytes: readonly number[]): number[] => [
  ...bytes,
  ...new Array<number>((4 - (bytes.length % 4)) % 4).fill(0),
];

/** A second, naive writer of either byte order, so that the reader is not only tested against its own twin. */
export const foreign = (order: Order) => ({
  block: (type: number, body: readonly number[]): number[] => {
    const total = bytesOf(order, 4, 12 + pad(body).length);
    return [...bytesOf(order, 4, type), ...total, ...pad(body), ...total];
  },
  option: (code: number, value: readonly number[]): number[] => [
    ...bytesOf(order, 2, code, value.length),
    ...pad(value),
  ],
  header: (): number[] => [
    ...bytesOf(order, 4, 0x1a2b3c4d),
    ...bytesOf(order, 2, 1, 0),
    ...bytesOf(order, 8, -1),
  ],
  words: (...values: number[]): number[] => bytesOf(order, 4, ...values),
  shorts: (...values: number[]): number[] => bytesOf(order, 2, ...values),
});
