/** Writes pcapng blocks, little-endian, times in nanoseconds. Each function returns whole blocks: concatenate them. */
import { StillwireError } from '../errors/index.js';
import {
  BLOCK,
  BLOCK_OVERHEAD_BYTES,
  BYTE_ORDER_MAGIC,
  ENTERPRISE_NUMBER,
  LINKTYPE_ETHERNET,
  MAX_OPTION_BYTES,
  MAX_PACKET_BYTES,
  OPTION,
  padded,
} from './format.js';
import type { PcapInterface, PcapPacket, PcapSection } from './format.js';

interface Option {
  readonly code: number;
  readonly value: Uint8Array;
}

const NO_DATA = new Uint8Array(0);
const utf8 = new TextEncoder();

/** A value the format has no room for is a fault of the caller; cutting it would be found out only at a restart. */
function fault(what: string): never {
  throw new StillwireError('INTERNAL', `pcapng: ${what}`);
}

const text = (code: number, value: string): Option => ({ code, value: utf8.encode(value) });

function u64(code: number, value: bigint | number): Option {
  const bytes = new Uint8Array(8);
  const big = BigInt(value);
  if (big !== BigInt.asUintN(64, big)) fault(`${big.toString()} is not an unsigned 64-bit number`);
  new DataView(bytes.buffer).setBigUint64(0, big, true);
  return { code, value: bytes };
}

function u32(code: number, value: number): Option {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return { code, value: bytes };
}

function custom(value: Uint8Array): Option {
  const bytes = new Uint8Array(4 + value.length);
  new DataView(bytes.buffer).setUint32(0, ENTERPRISE_NUMBER, true);
  bytes.set(value, 4);
  return { code: OPTION.custom, value: bytes };
}

/** High word first in either byte order: the one place where pcapng is not simply little-endian. */
function timeWords(timeNs: bigint): [number, number] {
  if (timeNs !== BigInt.asUintN(64, timeNs)) fault(`time ${timeNs.toString()} ns does not fit 64 bits`);
  return [Number(timeNs >> 32n), Number(timeNs & 0xffff_ffffn)];
}

/** One block: its fixed fields as 32-bit words, then padded data, then the options. */
function block(
  type: number,
  words: readonly number[],
  data: Uint8Array,
  options: readonly Option[],
): Uint8Array {
  const optionBytes = options.reduce((sum, { value }) => sum + 4 + padded(value.length), 0);
  const end = options.length > 0 ? 4 : 0;
  const total = BLOCK_OVERHEAD_BYTES + words.length * 4 + padded(data.length) + optionBytes + end;
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const word of [type, total, ...words]) {
    view.setUint32(at, word, true);
    at += 4;
  }
  bytes.set(data, at);
  at += padded(data.length);
  for (const { code, value } of options) {
    if (value.length > MAX_OPTION_BYTES) fault(`option ${code} of ${value.length} bytes is too long`);
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  // opt_endofopt is four zero bytes, which are there already.
  view.setUint32(at + end, total, true);
  return bytes;
}

function interfaceBlock({ name, description }: PcapInterface): Uint8Array {
  const options = [text(OPTION.interface.name, name)];
  if (description !== undefined) options.push(text(OPTION.interface.description, description));
  options.push({ code: OPTION.interface.resolution, value: Uint8Array.of(9) });
  // A snapshot length of 0 promises that nothing is cut short.
  return block(BLOCK.interface, [LINKTYPE_ETHERNET, 0], NO_DATA, options);
}

/**
 * The beginning of a file: the section header and one interface block per interface.
 * @throws StillwireError INTERNAL when a text is longer than an option may be
 */
export function encodeHeader(section: PcapSection): Uint8Array {
  const options: Option[] = [];
  if (section.comment !== undefined) options.push(text(OPTION.comment, section.comment));
  options.push(text(OPTION.section.application, section.application));
  // Version 1.0 as two 16-bit numbers; a length of -1, because the writer of a live capture cannot know it.
  const header = block(
    BLOCK.sectionHeader,
    [BYTE_ORDER_MAGIC, 1, 0xffff_ffff, 0xffff_ffff],
    NO_DATA,
    options,
  );
  return new Uint8Array(Buffer.concat([header, ...section.interfaces.map(interfaceBlock)]));
}

/**
 * One enhanced packet block.
 * @throws StillwireError INTERNAL when a value exceeds the bound its field documents
 */
export function encodePacket(packet: PcapPacket): Uint8Array {
  const length = packet.bytes.length;
  if (length > MAX_PACKET_BYTES) fault(`a packet of ${length} bytes is too long`);
  const options: Option[] = [];
  if (packet.comment !== undefined) options.push(text(OPTION.comment, packet.comment));
  if (packet.direction !== undefined) {
    options.push(u32(OPTION.packet.flags, packet.direction === 'inbound' ? 1 : 2));
  }
  if (packet.dropped !== undefined) options.push(u64(OPTION.packet.dropped, packet.dropped));
  if (packet.packetId !== undefined) options.push(u64(OPTION.packet.packetId, packet.packetId));
  if (packet.custom !== undefined) options.push(custom(packet.custom));
  const words = [packet.interface, ...timeWords(packet.timeNs), length, length];
  return block(BLOCK.enhancedPacket, words, packet.bytes, options);
}

/**
 * One interface statistics block: frames the interface `index` has received and dropped since the capture began.
 * @throws StillwireError INTERNAL when a number does not fit
 */
export function encodeInterfaceStatistics(
  index: number,
  timeNs: bigint,
  statistics: { readonly received?: number; readonly dropped?: number },
): Uint8Array {
  const options: Option[] = [];
  if (statistics.received !== undefined) options.push(u64(OPTION.statistics.received, statistics.received));
  if (statistics.dropped !== undefined) options.push(u64(OPTION.statistics.dropped, statistics.dropped));
  return block(BLOCK.interfaceStatistics, [index, ...timeWords(timeNs)], NO_DATA, options);
}
