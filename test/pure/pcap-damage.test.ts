/** Damaged files: either read, or refused with IMAGE_INVALID; never another error, never a hang. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import { decode } from '../../src/pcap/index.js';
import { anyCapture, encodeFile, PACKETS, SECTION } from './pcap-samples.js';

const FILE = encodeFile(SECTION, PACKETS);

/** @returns packets read, or undefined when the file was refused as it should be */
function attempt(file: Uint8Array): number | undefined {
  try {
    return decode(file).packets.length;
  } catch (error) {
    if (error instanceof StillwireError && error.code === 'IMAGE_INVALID') return undefined;
    throw error;
  }
}

describe('damage', () => {
  it('cut at every byte: read only where a block ends', () => {
    const header = encodeFile(SECTION, []);
    const first = encodeFile(SECTION, PACKETS.slice(0, 1));
    const sectionOnly = encodeFile({ ...SECTION, interfaces: [] }, []);
    const oneInterface = encodeFile({ ...SECTION, interfaces: SECTION.interfaces.slice(0, 1) }, []);
    const ends = [sectionOnly, oneInterface, header, first, FILE].map((part) => part.length);
    const readable = Array.from({ length: FILE.length + 1 }, (_, end) => end).filter(
      (end) => attempt(FILE.slice(0, end)) !== undefined,
    );
    expect(readable).toEqual(ends);
  });

  it('every single bit turned', () => {
    let refused = 0;
    for (let bit = 0; bit < FILE.length * 8; bit++) {
      const damaged = FILE.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      if (attempt(damaged) === undefined) refused++;
    }
    // Payload, text and times cannot be told from good ones; lengths and structure can.
    expect(refused).toBeGreaterThan(FILE.length);
  });

  it('several bytes at random', () => {
    const change = fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(anyCapture, fc.array(change, { minLength: 1, maxLength: 12 }), (capture, changes) => {
        const damaged = encodeFile(capture.section, capture.packets);
        for (const { at, value } of changes) damaged[at % damaged.length] = value;
        attempt(damaged);
      }),
      { seed: 20_241, numRuns: 2_000 },
    );
  });

  it('words that look like lengths, at random', () => {
    const word = fc.constantFrom(0, 1, 4, 8, 12, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffc, 0xffffffff);
    fc.assert(
      fc.property(fc.nat(), word, fc.boolean(), (place, value, little) => {
        const damaged = FILE.slice();
        const at = (place % (FILE.length >> 2)) * 4;
        new DataView(damaged.buffer).setUint32(at, value, little);
        attempt(damaged);
      }),
      { seed: 20_242, numRuns: 2_000 },
    );
  });

  it('noise behind a good section header', () => {
    const header = encodeFile({ application: '', interfaces: [{ name: 'a' }] }, []);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        attempt(noise);
        attempt(new Uint8Array([...header, ...noise]));
      }),
      { seed: 20_243, numRuns: 1_000 },
    );
  });
});
