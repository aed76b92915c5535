import { createHash } from 'node:crypto';
import { cp, link, mkdir, open, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { openImage, readManifest, verifyImage, writeInflight } from '../../src/image/index.js';
import type { InflightCapture, Manifest } from '../../src/image/index.js';
import { capture, commitSample, frame, frames, scratch } from './image-sample.js';

let root: string;
let image: string;
beforeEach(async () => {
  root = await scratch();
  image = await commitSample(root);
});

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The mutable twin of a manifest. */
type Loose = { -readonly [K in keyof Manifest]: Manifest[K] } & Record<string, unknown>;

/** Rewrites the manifest as one who knows the format would: its checksum comes out again. */
async function forge(change: (manifest: Loose) => unknown): Promise<void> {
  const file = join(image, 'manifest.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Loose;
  change(manifest);
  const text = Buffer.from(JSON.stringify(manifest));
  await writeFile(file, text);
  await writeFile(join(image, 'manifest.sha256'), `${sha256(text)}  manifest.json\n`);
}

/** Puts other frames into the image, with a hash that comes out. */
async function forgeFrames(change: Partial<InflightCapture>): Promise<void> {
  const file = join(image, 'inflight.pcapng');
  await rm(file);
  await writeInflight(file, { ...capture, ...change });
  const bytes = await readFile(file);
  await forge((manifest) => {
    manifest.files = manifest.files.map((one) =>
      one.path === 'inflight.pcapng' ? { ...one, bytes: bytes.length, sha256: sha256(bytes) } : one,
    );
  });
}

async function faults(): Promise<string> {
  return (await verifyImage(image)).faults.join('\n');
}

const FILES = [
  'manifest.json',
  'manifest.sha256',
  'inflight.pcapng',
  'guests/a/state.qemu',
  'attachments/notes.txt',
];

describe('verify', () => {
  it('finds a sound image sound, wherever it was copied to', async () => {
    const copy = join(root, 'copied elsewhere');
    await cp(image, copy, { recursive: true });
    const report = await verifyImage(copy);
    expect(report).toMatchObject({ path: copy, faults: [], proven: true, inFlightFrames: 3 });
  });

  it('finds any flipped bit in any file', { timeout: 60_000 }, async () => {
    const sizes = new Map<string, number>();
    for (const file of FILES) sizes.set(file, (await readFile(join(image, file))).length);
    const place = fc
      .constantFrom(...FILES)
      .chain((file) =>
        fc.record({ file: fc.constant(file), at: fc.nat(sizes.get(file)! - 1), bit: fc.nat(7) }),
      );
    await fc.assert(
      fc.asyncProperty(place, async ({ file, at, bit }) => {
        const handle = await open(join(image, file), 'r+');
        try {
          const byte = Buffer.alloc(1);
          await handle.read(byte, 0, 1, at);
          const flip = async (): Promise<void> => {
            byte[0]! ^= 1 << bit;
            await handle.write(byte, 0, 1, at);
          };
          await flip();
          expect((await verifyImage(image)).faults).not.toEqual([]);
          await expect(openImage(image)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
          await flip();
        } finally {
          await handle.close();
        }
      }),
      { numRuns: 150 },
    );
    expect(await faults()).toBe('');
  });

  it.each(FILES)('finds %s missing', async (file) => {
    await rm(join(image, file));
    expect(await faults()).toContain(
      `${file.startsWith('manifest') ? file : JSON.stringify(file)} is missing`,
    );
  });

  it.each(FILES)('finds %s cut short', async (file) => {
    await truncate(join(image, file), 5);
    expect(await faults()).not.toBe('');
  });

  it('finds files that do not belong', async () => {
    await writeFile(join(image, 'guests/a/extra'), '');
    await mkdir(join(image, 'deep/down'), { recursive: true });
    await writeFile(join(image, 'deep/down/.hidden'), '');
    const found = await faults();
    expect(found).toContain('"guests/a/extra" does not belong');
    expect(found).toContain('"deep/down/.hidden" does not belong');
  });

  it('tells every fault, not the first', async () => {
    await writeFile(join(image, 'guests/a/state.qemu'), 'QEVM state of b');
    await rm(join(image, 'attachments/notes.txt'));
    await writeFile(join(image, 'extra'), '');
    expect((await verifyImage(image)).faults).toHaveLength(3);
    await expect(openImage(image)).rejects.toMatchObject({ details: { faults: { length: 3 } } });
  });

  it('notices a file of another checkpoint, whole as it is', async () => {
    const other = await commitSample(root, 'two', { checkpointId: 'another-checkpoint' });
    await cp(join(other, 'manifest.json'), join(image, 'manifest.json'));
    await cp(join(other, 'manifest.sha256'), join(image, 'manifest.sha256'));
    expect(await faults()).toContain('inflight.pcapng belongs to checkpoint');
  });

  it('reads nothing outside: links are faults, in the tree and on the way', async () => {
    await rename(join(image, 'guests/a'), join(root, 'a'));
    await symlink(join(root, 'a'), join(image, 'guests/a'));
    expect(await faults()).toContain('"guests/a" is neither a file nor a directory');
    await expect(openImage(image)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });

  it('does not wait for a FIFO', async () => {
    await rm(join(image, 'inflight.pcapng'));
    await rm(join(image, 'manifest.sha256'));
    execFileSync('mkfifo', [join(image, 'inflight.pcapng'), join(image, 'manifest.sha256')]);
    expect(await faults()).toContain('manifest.sha256 cannot be read: not a regular file');
  });

  it('takes a hard link for the file it is', async () => {
    await rename(join(image, 'attachments/notes.txt'), join(root, 'notes'));
    await link(join(root, 'notes'), join(image, 'attachments/notes.txt'));
    expect(await faults()).toBe('');
  });

  it('does not read a manifest over its limit', async () => {
    await truncate(join(image, 'manifest.json'), 16 * 1024 * 1024 + 1);
    expect(await faults()).toMatch(/manifest\.json cannot be read: 16777217 bytes, more than 16777216/);
  });

  it('says when there is nothing to verify', async () => {
    await expect(verifyImage(join(root, 'none'))).rejects.toMatchObject({ code: 'CHECKPOINT_NOT_FOUND' });
    await mkdir(join(root, 'empty'));
    const report = await verifyImage(join(root, 'empty'));
    expect(report.faults).toEqual(['manifest.json is missing', 'manifest.sha256 is missing']);
  });
});

describe('a manifest whose checksum comes out', () => {
  it.each(['/etc/passwd', '../two/manifest.json', 'guests/../../x', 'guests/a/../../../x', 'manifest.json'])(
    'may not list %j',
    async (path) => {
      await forge((manifest) => {
        manifest.files = [...manifest.files, { path, bytes: 1, sha256: '0'.repeat(64) }];
      });
      expect(await faults()).toContain('manifest: files.3.path: not a path inside an image');
    },
  );

  const first = <T>(list: readonly T[]): T => list[0]!;

  it.each<[string, (manifest: Loose) => unknown, string]>([
    [
      'claims a proof the evidence denies',
      (m) => Object.assign(first(m.evidence).down, { ringEmpty: false }),
      'says proven',
    ],
    ['denies a proof the evidence gives', (m) => (m.proven = false), 'the evidence says true'],
    ['has no evidence', (m) => (m.evidence = []), 'evidence: nothing about a/nic0'],
    [
      'has one piece of evidence twice',
      (m) => (m.evidence = [...m.evidence, first(m.evidence)]),
      'a/nic0 twice',
    ],
    [
      'passes a NIC off as external',
      (m) => Object.assign(first(m.evidence), { kind: 'external' }),
      'is a tap port',
    ],
    ['mixes methods', (m) => (m.method = 'quiet'), 'was quiesced by count'],
    [
      'has waited where a proof was asked for',
      (m) => {
        m.method = 'auto';
        Object.assign(first(m.evidence), { method: 'quiet' });
      },
      'was quiesced by quiet',
    ],
    [
      'knows an address at no port',
      (m) => (m.addresses = [{ port: 'z/nic0', vlan: 0, ip: '10.0.0.1' }]),
      'addresses: z/nic0 does not exist',
    ],
    [
      'has a ledger that does not come out',
      (m) => Object.assign(first(m.ledger).egress, { sent: 38 }),
      'a/nic0 out',
    ],
    ['has no ledger', (m) => (m.ledger = []), 'ledger: nothing about host'],
    [
      'has a ledger of an unknown port',
      (m) => Object.assign(first(m.ledger), { port: 'c/nic0' }),
      'c/nic0 is not a port',
    ],
    ['counts other frames', (m) => (m.inFlightFrames = 4), 'says 4 frames in flight, 3'],
    ['has another id', (m) => (m.checkpointId = 'another-checkpoint'), 'belongs to checkpoint'],
    ['lists a file twice', (m) => (m.files = [...m.files, first(m.files)]), 'twice'],
    ['omits the frames', (m) => (m.files = m.files.slice(0, 2)), 'does not list inflight.pcapng'],
    [
      'lost a state',
      (m) => (m.guests = { a: { runState: 'running', disksUnmanaged: false } }),
      'has no state file',
    ],
    ['swaps states', (m) => (m.guests = { b: { ...m.guests['a']! } }), 'guest b has its state in guests/a'],
    [
      'knows a guest too many',
      (m) => (m.guests = { ...m.guests, constructor: m.guests['b']! }),
      'constructor is not in',
    ],
    ['knows a station nowhere', (m) => Object.assign(first(m.stations), { port: 'c/nic0' }), 'station 52:54'],
    ['has an unknown key', (m) => (m['extra'] = 1), 'extra'],
    [
      'has a number that is none',
      (m) => Object.assign(first(m.ledger).egress, { held: -1 }),
      'ledger.0.egress.held',
    ],
    ['is of another program', (m) => Object.assign(m, { format: 'tar' }), 'format'],
  ])('is refused when it %s', async (_, change, words) => {
    await forge(change);
    expect(await faults()).toContain(words);
  });

  it('is refused when it is no JSON', async () => {
    const text = Buffer.from('{"format":');
    await writeFile(join(image, 'manifest.json'), text);
    await writeFile(join(image, 'manifest.sha256'), `${sha256(text)}  manifest.json\n`);
    expect(await faults()).toContain('is not JSON');
  });

  it('is refused when the frames are not those of the ledger', async () => {
    await forgeFrames({ frames: [...frames.slice(0, 2), frame(12, 'host', ['b/nic0'])] });
    const found = await faults();
    expect(found).toContain('a/nic0: the ledger holds 1 frames, 0 are there');
    expect(found).toContain('b/nic0: the ledger holds 2 frames, 3 are there');
  });

  it('is refused when the frames name a port that does not exist', async () => {
    await forgeFrames({ ports: [...capture.ports, 'c/nic0'] });
    expect(await faults()).toContain('inflight.pcapng: c/nic0 is not a port of the network');
  });

  it.each<[string, (manifest: Loose) => unknown, string[]]>([
    ['of a newer version', (m) => Object.assign(m, { formatVersion: 9, novelty: {} }), ['format version 9']],
    ['with an unknown feature', (m) => (m.requires = ['disks', 'inflight-pcapng']), ['feature "disks"']],
  ])('%s is unsupported, not damaged', async (_, change, unsupported) => {
    await forge(change);
    expect(await verifyImage(image)).toMatchObject({ faults: [], unsupported });
    await expect(openImage(image)).rejects.toMatchObject({ code: 'IMAGE_UNSUPPORTED' });
    await expect(readManifest(image)).rejects.toMatchObject({ code: 'IMAGE_UNSUPPORTED' });
  });

  it('of a newer version is damaged when its checksum does not come out', async () => {
    const file = join(image, 'manifest.json');
    await writeFile(file, (await readFile(file, 'utf8')).replace('"formatVersion": 2', '"formatVersion": 3'));
    await expect(openImage(image)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });
});

describe('an open image', () => {
  it('gives its frames and the paths of its own files', async () => {
    const opened = await openImage(image);
    const read = await opened.frames();
    expect(read.map(({ sequence }) => sequence)).toEqual([7, 8, 12]);
    expect(Buffer.from(read[1]!.bytes)).toEqual(Buffer.from(frames[1]!.bytes));
    expect(opened.path('guests/a/state.qemu')).toBe(join(image, 'guests/a/state.qemu'));
    for (const path of ['manifest.json', '../two', 'guests/b/state.qemu']) {
      expect(() => opened.path(path)).toThrow(/has no file/);
    }
  });

  it('notices that its frames changed after it was opened', async () => {
    const opened = await openImage(image);
    await forgeFrames({ frames: [] });
    await expect(opened.frames()).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });
});
