/**
 * In-flight frames as pcapng, and back. The file is the store that a restart reads, and at the same time one that
 * Wireshark opens: one interface per port, packets in order of arrival, times in nanoseconds.
 *
 * What delivery needs beyond the frame (its virtio-net header and where it has still to go) rides in the packet's
 * custom option, little-endian whatever the section's byte order:
 *
 *   0   4  `SWf1`: the enterprise number is one for examples, so the value must tell by itself that it is ours
 *   4  10  struct virtio_net_hdr
 *  14   2  number of destinations, at least 1
 *  16  2n  interface index of each
 *
 * Written in chunks with the event loop let in between: 100,000 frames take a second or more, and the caller's
 * guests run again by then.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { StillwireError } from '../errors/index.js';
import { describeFrame } from '../frame/describe.js';
import { MAX_FRAME_BYTES, VNET_HEADER_BYTES } from '../frame/types.js';
import type { InflightFrame, PortId } from '../frame/types.js';
import { decode, encodeHeader, encodePacket } from '../pcap/index.js';
import type { PcapPacket } from '../pcap/index.js';
import { MAX_PORTS } from './manifest.js';

/** The in-flight frames of one checkpoint. */
export interface InflightCapture {
  readonly checkpointId: string;
  /** Every port of the network, each once; ingress and destinations name these. */
  readonly ports: readonly PortId[];
  /** Ascending by sequence. */
  readonly frames: readonly InflightFrame[];
}

/** Longest file that is read back: it is decoded in memory. */
export const MAX_INFLIGHT_BYTES = 1024 * 1024 * 1024;
export const MAX_INFLIGHT_FRAMES = 1_000_000;

/** Frames encoded before the event loop gets its turn: some 2 ms. */
const FRAMES_PER_TURN = 256;
const CHUNK_BYTES = 1024 * 1024;
const ETHERNET_HEADER_BYTES = 14;

const MAGIC = Buffer.from('SWf1', 'latin1');
const VNET_AT = MAGIC.length;
const COUNT_AT = VNET_AT + VNET_HEADER_BYTES;
const LIST_AT = COUNT_AT + 2;

const comment = (checkpointId: string, frames: number): string =>
  `Stillwire checkpoint ${checkpointId}: ${frames} frames in flight`;
const COMMENT = /^Stillwire checkpoint ([0-9a-z-]{8,64}): (\d+) frames in flight$/;

function fault(what: string): never {
  throw new StillwireError('IMAGE_INVALID', `in-flight frames: ${what}`);
}

/** Faults of a frame that would stop its delivery; told by the writer so that no reader has to. */
function checkFrame({ sequence, vnet, bytes, destinations }: InflightFrame, after: number): void {
  if (!Number.isSafeInteger(sequence) || sequence <= after) fault(`frame ${sequence} follows frame ${after}`);
  if (vnet.length !== VNET_HEADER_BYTES) fault(`frame ${sequence} has a vnet header of ${vnet.length} bytes`);
  if (bytes.length < ETHERNET_HEADER_BYTES || bytes.length > MAX_FRAME_BYTES) {
    fault(`frame ${sequence} is ${bytes.length} bytes long`);
  }
  if (destinations.length === 0) fault(`frame ${sequence} has no destination left`);
  if (new Set(destinations).size !== destinations.length) {
    fault(`frame ${sequence} has a destination twice`);
  }
}

function toPacket(frame: InflightFrame, indices: ReadonlyMap<PortId, number>): PcapPacket {
  const indexOf = (port: PortId): number => indices.get(port) ?? fault(`${port} is not a port`);
  const custom = Buffer.alloc(LIST_AT + 2 * frame.destinations.length);
  custom.set(MAGIC, 0);
  custom.set(frame.vnet, VNET_AT);
  custom.writeUInt16LE(frame.destinations.length, COUNT_AT);
  frame.destinations.forEach((port, i) => custom.writeUInt16LE(indexOf(port), LIST_AT + 2 * i));
  const way = `${frame.ingress} → ${someOf(frame.destinations)}`;
  return {
    interface: indexOf(frame.ingress),
    timeNs: frame.timeNs,
    bytes: frame.bytes,
    packetId: BigInt(frame.sequence),
    direction: 'inbound',
    comment: `${way}: ${describeFrame(frame.bytes, frame.vnet)}`,
    custom,
  };
}

/** A flooded frame can have thousands of destinations; a comment is for a person. */
function someOf(ports: readonly PortId[]): string {
  const shown = ports.slice(0, 16).join(', ');
  return ports.length > 16 ? `${shown} and ${ports.length - 16} more` : shown;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Encodes a capture in chunks of about 1 MiB.
 * @throws StillwireError IMAGE_INVALID for what {@link decodeInflight} would refuse
 */
export async function* encodeInflight(capture: InflightCapture): AsyncGenerator<Uint8Array> {
  const { checkpointId, ports, frames } = capture;
  const indices = new Map(ports.map((port, index) => [port, index]));
  if (ports.length > MAX_PORTS || indices.size !== ports.length) fault('too many ports, or one twice');
  if (frames.length > MAX_INFLIGHT_FRAMES)
    fault(`${frames.length} frames; the limit is ${MAX_INFLIGHT_FRAMES}`);
  const section = {
    application: 'Stillwire',
    comment: comment(checkpointId, frames.length),
    interfaces: ports.map((name) => ({ name })),
  };
  if (!COMMENT.test(section.comment)) fault(`${checkpointId} is not a checkpoint id`);

  let blocks = [encodeHeader(section)];
  let pending = blocks[0]!.length;
  let total = pending;
  let sequence = -1;
  for (const [i, frame] of frames.entries()) {
    checkFrame(frame, sequence);
    sequence = frame.sequence;
    const block = encodePacket(toPacket(frame, indices));
    blocks.push(block);
    pending += block.length;
    total += block.length;
    if (total > MAX_INFLIGHT_BYTES) fault(`more than ${MAX_INFLIGHT_BYTES} bytes`);
    if (pending >= CHUNK_BYTES) {
      yield Buffer.concat(blocks, pending);
      blocks = [];
      pending = 0;
    }
    if (i % FRAMES_PER_TURN === FRAMES_PER_TURN - 1) await turn();
  }
  if (pending > 0) yield Buffer.concat(blocks, pending);
}

/**
 * Writes a capture to `file`, which it creates. No fsync: commit does that.
 * @returns bytes written
 * @throws StillwireError IMAGE_INVALID; the system's error when it cannot be written (it exists, disk full)
 */
export async function writeInflight(file: string, capture: InflightCapture): Promise<number> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  const handle = await open(file, flags, 0o600);
  try {
    let total = 0;
    for await (const chunk of encodeInflight(capture)) {
      await handle.writeFile(chunk);
      total += chunk.length;
    }
    return total;
  } finally {
    await handle.close();
  }
}

function toFrame(packet: PcapPacket, ports: readonly PortId[], after: number): InflightFrame {
  const { packetId, custom, timeNs, bytes, direction } = packet;
  if (packetId === undefined || packetId > BigInt(Number.MAX_SAFE_INTEGER)) {
    fault(`the packet after frame ${after} has no usable id`);
  }
  const sequence = Number(packetId);
  if (direction !== 'inbound') fault(`frame ${sequence} is not marked as inbound`);
  if (custom === undefined || custom.length < LIST_AT || !MAGIC.equals(custom.subarray(0, VNET_AT))) {
    fault(`frame ${sequence} does not say where it goes`);
  }
  const view = new DataView(custom.buffer, custom.byteOffset, custom.length);
  const count = view.getUint16(COUNT_AT, true);
  if (custom.length !== LIST_AT + 2 * count) fault(`frame ${sequence} has a cut-off list of destinations`);
  const port = (index: number): PortId =>
    ports[index] ?? fault(`frame ${sequence} names port ${index}, which is not declared`);
  const destinations = Array.from({ length: count }, (_, i) => port(view.getUint16(LIST_AT + 2 * i, true)));
  const vnet = custom.subarray(VNET_AT, COUNT_AT);
  const frame = { sequence, timeNs, ingress: port(packet.interface), destinations, vnet, bytes };
  checkFrame(frame, after);
  return frame;
}

/**
 * Decodes a whole file. Frames are views into `file`: do not change it afterwards.
 * @throws StillwireError IMAGE_INVALID for anything {@link encodeInflight} would not have written
 */
export function decodeInflight(file: Uint8Array): InflightCapture {
  if (file.length > MAX_INFLIGHT_BYTES) fault(`${file.length} bytes; the limit is ${MAX_INFLIGHT_BYTES}`);
  const { section, packets } = decode(file, {
    maxPackets: MAX_INFLIGHT_FRAMES,
    maxPacketBytes: MAX_FRAME_BYTES,
  });
  const [, checkpointId, count] = COMMENT.exec(section.comment ?? '') ?? [];
  if (checkpointId === undefined) fault('the file does not say which checkpoint it belongs to');
  if (Number(count) !== packets.length) {
    fault(`the file says it has ${String(count)} frames and has ${packets.length}`);
  }
  const ports = section.interfaces.map(({ name }) => name);
  if (ports.length > MAX_PORTS || new Set(ports).size !== ports.length) fault('too many ports, or one twice');
  let sequence = -1;
  const frames = packets.map((packet) => {
    const frame = toFrame(packet, ports, sequence);
    sequence = frame.sequence;
    return frame;
  });
  return { checkpointId, ports, frames };
}
