/** The pcapng reader, and the in-flight frames in one: refused with a reason, or understood and bounded. */
import * as fc from 'fast-check';
import { StillwireError } from '../../../src/errors/index.js';
import { decodeInflight, encodeInflight } from '../../../src/image/inflight.js';
import { decode, type PcapLimits } from '../../../src/pcap/index.js';
import { capture as sample } from '../../pure/image-sample.js';
import { encodeFile, foreign, PACKETS, SECTION } from '../../pure/pcap-samples.js';
import { edits, spoilBytes } from '../spoil.js';
import { target, wrong } from '../target.js';

const LIMITS: PcapLimits = { maxPackets: 100, maxPacketBytes: 4000 };

function foreignFile(order: 'little' | 'big'): Uint8Array {
  const { block, option, header, words, shorts } = foreign(order);
  const frame = new Array<number>(60).fill(7);
  return Uint8Array.from([
    ...block(0x0a0d0d0a, header()),
    ...block(1, [
      ...shorts(1, 0),
      ...words(0),
      ...option(9, [0x89]),
      ...option(14, [1, 2, 3, 4, 5, 6, 7, 8]),
    ]),
    ...block(6, [...words(0, 1, 2, 60, 60), ...frame, ...option(2, words(1)), ...option(1, [65])]),
    ...block(3, [...words(60), ...frame]),
    ...block(5, [...words(0, 1, 2)]),
    ...block(0x0bad, words(1, 2, 3)),
  ]);
}

/** Refusal with its code is an answer; anything else thrown is a bug. */
function read<T>(reading: () => T): T | undefined {
  try {
    return reading();
  } catch (error) {
    if (error instanceof StillwireError && error.code === 'IMAGE_INVALID') return undefined;
    throw error;
  }
}

async function inflight(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of encodeInflight(sample)) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

export default target(async () => {
  const bases = [encodeFile(SECTION, PACKETS), foreignFile('little'), foreignFile('big'), await inflight()];
  return {
    inputs: fc.oneof(
      { weight: 9, arbitrary: fc.record({ base: fc.nat(bases.length - 1), changes: edits }) },
      { weight: 1, arbitrary: fc.record({ whole: fc.uint8Array({ maxLength: 200 }) }) },
    ),
    check(input) {
      const bytes = 'whole' in input ? input.whole : spoilBytes(bases[input.base]!, input.changes);
      const file = new Uint8Array(bytes);
      const found = read(() => decode(file, LIMITS));
      if (found !== undefined) {
        const { packets, section } = found;
        if (packets.length > LIMITS.maxPackets) wrong(`${packets.length} packets`);
        for (const { bytes: frame, interface: index } of packets) {
          if (frame.length > LIMITS.maxPacketBytes) wrong(`a packet of ${frame.length} bytes`);
          if (section.interfaces[index] === undefined) wrong(`interface ${index} does not exist`);
        }
      }
      for (const frame of read(() => decodeInflight(file))?.frames ?? []) {
        if (frame.vnet.length !== 10 || frame.bytes.length < 14) wrong('a frame that cannot be delivered');
      }
    },
  };
});
