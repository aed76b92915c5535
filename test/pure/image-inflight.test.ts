import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { InflightFrame } from '../../src/frame/types.js';
import { decodeInflight, encodeInflight, writeInflight } from '../../src/image/index.js';
import type { InflightCapture } from '../../src/image/index.js';
import { decode } from '../../src/pcap/index.js';
import { CHECKPOINT_ID, PORTS, capture, frame, scratch } from './image-sample.js';

async function encoded(of: InflightCapture): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of encodeInflight(of)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const plain = (frames: readonly InflightFrame[]): unknown =>
  frames.map((one) => ({ ...one, bytes: Buffer.from(one.bytes), vnet: Buffer.from(one.vnet) }));

const invalid = expect.objectContaining({ code: 'IMAGE_INVALID' }) as unknown;

const anyFrames = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 1, max: 1_000_000 }),
      timeNs: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      ingress: fc.constantFrom(...PORTS),
      destinations: fc.subarray(PORTS, { minLength: 1 }),
      vnet: fc.uint8Array({ minLength: 10, maxLength: 10 }),
      bytes: fc.uint8Array({ minLength: 14, maxLength: 300 }),
    }),
    { maxLength: 40 },
  )
  .map((list) => {
    let sequence = -1;
    return list.map(({ gap, ...rest }): InflightFrame => ({ sequence: (sequence += gap), ...rest }));
  });

describe('in-flight frames as pcapng', () => {
  it('come back as they were', async () => {
    await fc.assert(
      fc.asyncProperty(anyFrames, async (frames) => {
        const back = decodeInflight(await encoded({ checkpointId: CHECKPOINT_ID, ports: PORTS, frames }));
        expect(back.checkpointId).toBe(CHECKPOINT_ID);
        expect(back.ports).toEqual(PORTS);
        expect(plain(back.frames)).toEqual(plain(frames));
      }),
      { numRuns: 60 },
    );
  });

  it('carry what a person needs to read them', async () => {
    const { section, packets } = decode(await encoded(capture));
    expect(section.interfaces.map(({ name }) => name)).toEqual(PORTS);
    expect(section.comment).toContain(CHECKPOINT_ID);
    expect(packets[1]).toMatchObject({ interface: 0, packetId: 8n, direction: 'inbound' });
    expect(packets[1]!.comment).toMatch(/^a\/nic0 → b\/nic0, host: 52:54:00:00:00:0a > 52:54:00:00:00:0b/);
  });

  it('lay out the custom option as the document says', async () => {
    const { packets } = decode(await encoded(capture));
    const option = Buffer.concat([Buffer.from('SWf1'), Buffer.alloc(10, 8), Buffer.from([2, 0, 1, 0, 2, 0])]);
    expect(Buffer.from(packets[1]!.custom!)).toEqual(option);
  });

  it('let the event loop go on while 100,000 are written', { timeout: 60_000 }, async () => {
    const frames = Array.from({ length: 100_000 }, (_, i) => frame(i, 'a/nic0', ['b/nic0'], 200));
    const file = join(await scratch(), 'many.pcapng');
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const bytes = await writeInflight(file, { checkpointId: CHECKPOINT_ID, ports: PORTS, frames });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(10); // the event loop went on meanwhile
    const read = await readFile(file);
    expect(read.length).toBe(bytes);
    const back = decodeInflight(read);
    expect(back.frames).toHaveLength(100_000);
    expect(Buffer.from(back.frames[99_999]!.bytes)).toEqual(Buffer.from(frames[99_999]!.bytes));
  });

  it('do not overwrite a file', async () => {
    const file = join(await scratch(), 'there.pcapng');
    await writeFile(file, 'mine');
    await expect(writeInflight(file, capture)).rejects.toThrow(/EEXIST/);
    expect(await readFile(file, 'utf8')).toBe('mine');
  });

  it.each<[string, Partial<InflightCapture>]>([
    ['a port not declared', { frames: [frame(1, 'a/nic0', ['c/nic0'])] }],
    ['no destination', { frames: [frame(1, 'a/nic0', [])] }],
    ['a destination twice', { frames: [frame(1, 'a/nic0', ['host', 'host'])] }],
    ['a sequence that goes back', { frames: [frame(2, 'a/nic0', ['host']), frame(1, 'a/nic0', ['host'])] }],
    ['a sequence twice', { frames: [frame(2, 'a/nic0', ['host']), frame(2, 'a/nic0', ['host'])] }],
    ['a runt', { frames: [{ ...frame(1, 'a/nic0', ['host']), bytes: new Uint8Array(13) }] }],
    ['a frame too long', { frames: [frame(1, 'a/nic0', ['host'], 65_601)] }],
    ['a short vnet header', { frames: [{ ...frame(1, 'a/nic0', ['host']), vnet: new Uint8Array(9) }] }],
    ['a port declared twice', { ports: ['a/nic0', 'a/nic0'], frames: [] }],
    ['an id that is none', { checkpointId: 'no such id' }],
  ])('refuse %s', async (_, change) => {
    await expect(encoded({ ...capture, ...change })).rejects.toEqual(invalid);
  });

  it('never come back silently changed: any damage is refused or leaves them valid', async () => {
    const sound = await encoded(capture);
    fc.assert(
      fc.property(fc.nat(sound.length - 1), fc.nat(7), (at, bit) => {
        const damaged = Buffer.from(sound);
        damaged[at]! ^= 1 << bit;
        try {
          for (const { destinations } of decodeInflight(damaged).frames)
            expect(destinations).not.toHaveLength(0);
        } catch (error) {
          expect(error).toEqual(invalid);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('are refused when the file is cut off between packets', async () => {
    const whole = await encoded(capture);
    const last = whole.readUInt32LE(whole.length - 4);
    expect(() => decodeInflight(whole.subarray(0, whole.length - last))).toThrow(
      /says it has 3 frames and has 2/,
    );
  });

  it('are refused when another program wrote the file', () => {
    expect(() => decodeInflight(Buffer.from('not a capture at all'))).toThrow(invalid);
  });
});
