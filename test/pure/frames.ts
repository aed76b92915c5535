/** Ethernet frames for tests, each recognisable by the number in its payload. */
export const station = (n: number): Buffer => Buffer.from([0x02, 0, 0, 0, n >> 8, n & 0xff]);
export const BROADCAST = Buffer.alloc(6, 0xff);

export interface FrameOptions {
  readonly to?: Buffer;
  readonly from?: Buffer;
  /** An 802.1Q tag's TCI. */
  readonly tag?: number;
  readonly type?: number;
  readonly length?: number;
}

/** A frame of at least 60 bytes whose payload begins with `n`. */
export function frame(n: number, options: FrameOptions = {}): Buffer {
  const { to = BROADCAST, from = station(1), tag, type = 0x88b6, length = 60 } = options;
  const head = Buffer.concat([to, from, tag === undefined ? Buffer.alloc(0) : Buffer.alloc(4)]);
  if (tag !== undefined) head.writeUInt32BE(0x81000000 + tag, 12);
  const bytes = Buffer.alloc(Math.max(length, head.length + 6));
  head.copy(bytes);
  bytes.writeUInt16BE(type, head.length);
  bytes.writeUInt32BE(n, head.length + 2);
  return bytes;
}

/** The VLAN id of a tagged frame, undefined for an untagged one. */
export const tagOf = (bytes: Buffer): number | undefined =>
  bytes.readUInt16BE(12) === 0x8100 ? bytes.readUInt16BE(14) & 0xfff : undefined;

/** The number in the payload of a frame made by {@link frame}. */
export const numberOf = (bytes: Buffer): number => bytes.readUInt32BE(tagOf(bytes) === undefined ? 14 : 18);
