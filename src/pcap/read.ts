/**
 * Reads pcapng. A checkpoint's in-flight frames are read back from such a file and put into running guests, so
 * the reader is strict: what it does not understand completely, it refuses.
 *
 * Goal: any well-formed file of either byte order and any clock, of Ethernet packets that are not cut short.
 * Invariant: no byte is read before the length that covers it was checked against the file; every block is at
 * least 12 bytes, so the walk ends.
 * Order: block length, its copy at the end, fixed fields, packet length, options.
 * Refused although well-formed: another link type, a packet cut by a snapshot length (it must never be
 * delivered), and the packet block that became obsolete in 2004. Unknown blocks and options are passed over, as
 * the format asks. A file may have several sections; their interfaces are numbered on.
 */
import {
  BLOCK,
  BLOCK_OVERHEAD_BYTES,
  BYTE_ORDER_MAGIC,
  LINKTYPE_ETHERNET,
  MAX_PACKET_BYTES,
  OPTION,
  padded,
} from './format.js';
import type { PcapInterface, PcapPacket, PcapSection } from './format.js';
import { invalid, readOptions } from './options.js';
import type { Options, Source } from './options.js';

export interface PcapLimits {
  /** Packets in the file. */
  readonly maxPackets: number;
  /** Bytes of one packet. */
  readonly maxPacketBytes: number;
}
export const DEFAULT_PCAP_LIMITS: PcapLimits = { maxPackets: 1_000_000, maxPacketBytes: MAX_PACKET_BYTES };

/** The body of a block: what lies between its two lengths. */
interface Body extends Source {
  readonly at: number;
  readonly end: number;
}

/** Turns an interface's time stamps into nanoseconds: `ticks * multiply / divide + offset`. */
interface Clock {
  readonly multiply: bigint;
  readonly divide: bigint;
  readonly offset: bigint;
}

interface Reading {
  readonly limits: PcapLimits;
  readonly interfaces: PcapInterface[];
  readonly clocks: Clock[];
  readonly packets: PcapPacket[];
  /** Where the interfaces of the present section begin. */
  firstInterface: number;
}

const NS_PER_SECOND = 1_000_000_000n;

function need(body: Body, length: number, what: string): void {
  if (body.end - body.at < length) invalid(body.at, `${what} is too short`);
}

/** `if_tsresol`: a negative power of 10, or of 2 when the top bit is set; microseconds when absent. */
function clockOf(options: Options): Clock {
  const resolution = options.u8(OPTION.interface.resolution) ?? 6;
  const offset = (options.i64(OPTION.interface.offset) ?? 0n) * NS_PER_SECOND;
  const exponent = BigInt(resolution & 0x7f);
  const divide = (resolution & 0x80) === 0 ? 10n ** exponent : 1n << exponent;
  return { multiply: NS_PER_SECOND, divide, offset };
}

function readSectionHeader(body: Body): Omit<PcapSection, 'interfaces'> {
  need(body, 16, 'the section header');
  const major = body.view.getUint16(body.at + 4, body.littleEndian);
  const minor = body.view.getUint16(body.at + 6, body.littleEndian);
  // Some writers say 1.2 and mean 1.0; the format tells readers to take it so.
  if (major !== 1 || (minor !== 0 && minor !== 2)) invalid(body.at + 4, `version ${major}.${minor}, not 1.0`);
  // The section's length (8 bytes at 8) only helps to skip it.
  const options = readOptions(body, body.at + 16, body.end);
  const comment = options.comment();
  const application = options.text(OPTION.section.application) ?? '';
  return { application, ...(comment !== undefined && { comment }) };
}

function readInterface(reading: Reading, body: Body): void {
  need(body, 8, 'the interface block');
  const linktype = body.view.getUint16(body.at, body.littleEndian);
  if (linktype !== LINKTYPE_ETHERNET) invalid(body.at, `link type ${linktype}, not Ethernet`);
  const options = readOptions(body, body.at + 8, body.end);
  const name = options.text(OPTION.interface.name) ?? '';
  const description = options.text(OPTION.interface.description);
  reading.interfaces.push({ name, ...(description !== undefined && { description }) });
  reading.clocks.push(clockOf(options));
}

/** @returns where the packet's data end, padding included */
function checkPacket(
  reading: Reading,
  body: Body,
  start: number,
  captured: number,
  original: number,
): number {
  if (reading.packets.length >= reading.limits.maxPackets) {
    invalid(body.at, `more than ${reading.limits.maxPackets} packets`);
  }
  if (captured !== original)
    invalid(body.at, `a packet of ${original} bytes, of which the file has ${captured}`);
  if (captured > reading.limits.maxPacketBytes) {
    invalid(body.at, `a packet of ${captured} bytes; the limit is ${reading.limits.maxPacketBytes}`);
  }
  const end = start + padded(captured);
  if (end > body.end) invalid(body.at, `a packet of ${captured} bytes reaches past its block`);
  return end;
}

function interfaceIndex(reading: Reading, at: number, index: number): number {
  if (index >= reading.interfaces.length - reading.firstInterface) {
    invalid(at, `a packet of interface ${index}, which is not declared before it`);
  }
  return reading.firstInterface + index;
}

function readTime(body: Body, clock: Clock): bigint {
  const high = body.view.getUint32(body.at + 4, body.littleEndian);
  const low = body.view.getUint32(body.at + 8, body.littleEndian);
  const ticks = (BigInt(high) << 32n) | BigInt(low);
  const ns = (ticks * clock.multiply) / clock.divide + clock.offset;
  if (ns !== BigInt.asUintN(64, ns)) invalid(body.at + 4, 'a time that 64 bits of nanoseconds do not hold');
  return ns;
}

function readEnhancedPacket(reading: Reading, body: Body): void {
  need(body, 20, 'the packet block');
  const word = (offset: number): number => body.view.getUint32(body.at + offset, body.littleEndian);
  const index = interfaceIndex(reading, body.at, word(0));
  const start = body.at + 20;
  const length = word(12);
  const options = readOptions(body, checkPacket(reading, body, start, length, word(16)), body.end);

  const direction = ([undefined, 'inbound', 'outbound'] as const)[
    (options.u32(OPTION.packet.flags) ?? 0) & 3
  ];
  const packetId = options.u64(OPTION.packet.packetId);
  const dropped = options.u64(OPTION.packet.dropped);
  if (dropped !== undefined && dropped > Number.MAX_SAFE_INTEGER)
    invalid(body.at, 'a drop count beyond 2^53');
  const comment = options.comment();
  const custom = options.custom();
  reading.packets.push({
    interface: index,
    timeNs: readTime(body, reading.clocks[index]!),
    bytes: body.bytes.subarray(start, start + length),
    ...(packetId !== undefined && { packetId }),
    ...(direction !== undefined && { direction }),
    ...(comment !== undefined && { comment }),
    ...(custom !== undefined && { custom }),
    ...(dropped !== undefined && { dropped: Number(dropped) }),
  });
}

/** A packet without time or options, of the section's first interface; its length is that of the block. */
function readSimplePacket(reading: Reading, body: Body): void {
  need(body, 4, 'the simple packet block');
  const length = body.view.getUint32(body.at, body.littleEndian);
  const start = body.at + 4;
  const index = interfaceIndex(reading, body.at, 0);
  if (checkPacket(reading, body, start, length, length) !== body.end) {
    invalid(body.at, `a packet of ${length} bytes does not fill its simple packet block`);
  }
  reading.packets.push({ interface: index, timeNs: 0n, bytes: body.bytes.subarray(start, start + length) });
}

/** Checks the frame of the block at `at`: length, alignment, and the length's copy at the end. */
function blockBody(source: Source, at: number): Body {
  const size = source.bytes.length;
  const total = source.view.getUint32(at + 4, source.littleEndian);
  if (total < BLOCK_OVERHEAD_BYTES || total % 4 !== 0) invalid(at + 4, `${total} is not a length of a block`);
  if (total > size - at) invalid(at + 4, `a block of ${total} bytes, but only ${size - at} are left`);
  const copy = source.view.getUint32(at + total - 4, source.littleEndian);
  if (copy !== total)
    invalid(at + total - 4, `the block says ${total} bytes at its start and ${copy} at its end`);
  return { ...source, at: at + 8, end: at + total - 4 };
}

/** The byte order of the section that begins at `at`. */
function isLittleEndian(view: DataView, at: number): boolean {
  if (view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC) return true;
  if (view.getUint32(at + 8, false) === BYTE_ORDER_MAGIC) return false;
  return invalid(at + 8, 'no byte-order magic');
}

/**
 * Decodes a whole file. Packets and custom options are views into `file`: do not change it afterwards. Of several
 * sections, application and comment are the first's.
 * @throws StillwireError IMAGE_INVALID with `details.offset` and what is wrong there, also when a limit is passed
 */
export function decode(
  file: Uint8Array,
  limits: Partial<PcapLimits> = {},
): { section: PcapSection; packets: PcapPacket[] } {
  // A plain Uint8Array even of a Buffer, so that views of it are plain too.
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const reading: Reading = {
    limits: { ...DEFAULT_PCAP_LIMITS, ...limits },
    interfaces: [],
    clocks: [],
    packets: [],
    firstInterface: 0,
  };
  let source: Source = { bytes, view, littleEndian: true };
  let section: Omit<PcapSection, 'interfaces'> | undefined;
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < BLOCK_OVERHEAD_BYTES) invalid(at, 'the file ends inside a block');
    const type = view.getUint32(at, source.littleEndian);
    if (type === BLOCK.sectionHeader) source = { bytes, view, littleEndian: isLittleEndian(view, at) };
    else if (section === undefined) invalid(at, 'not a pcapng file: it begins with no section header');
    const body = blockBody(source, at);
    if (type === BLOCK.sectionHeader) {
      const header = readSectionHeader(body);
      section ??= header;
      reading.firstInterface = reading.interfaces.length;
    } else if (type === BLOCK.interface) readInterface(reading, body);
    else if (type === BLOCK.enhancedPacket) readEnhancedPacket(reading, body);
    else if (type === BLOCK.simplePacket) readSimplePacket(reading, body);
    else if (type === BLOCK.packet)
      invalid(at, 'an obsolete packet block; rewrite the file with a newer program');
    at = body.end + 4;
  }
  if (section === undefined) invalid(0, 'the file is empty');
  return { section: { ...section, interfaces: reading.interfaces }, packets: reading.packets };
}
