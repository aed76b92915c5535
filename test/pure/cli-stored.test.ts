import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { encodeClassic } from '../../src/pcap/index.js';
import { documentOf, errorOf, stillwire, type Outcome } from './cli-run.js';
import { commitSample, frames, scratch } from './image-sample.js';

let state: string;
beforeEach(async () => {
  state = await scratch();
});

const onState = (...args: string[]): Promise<Outcome> => stillwire(['--state', state, ...args]);

async function flipByte(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(path, bytes);
}

describe('list', () => {
  test('nothing stored: nothing on stdout, exit 0', async () => {
    expect(await onState('list')).toMatchObject({ code: 0, stdout: '' });
    expect(documentOf(await onState('list', '--json'))).toEqual({ schemaVersion: 1, checkpoints: [] });
  });

  test('a line each, also for a damaged one', async () => {
    await commitSample(join(state, 'lab'), 'one');
    await flipByte(join(await commitSample(join(state, 'lab'), 'two'), 'manifest.json'));
    await commitSample(join(state, 'other'), 'three');
    const { code, stdout } = await onState('list');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^NAME +NETWORK +TAKEN/);
    expect(stdout).toMatch(/^one +lab +2025-03-04 05:06:07.089 UTC +2 +3 +yes +[\d.]+ (B|KiB)$/m);
    expect(stdout).toMatch(/^two +lab +damaged/m);
    expect((await onState('list', '-n', 'other')).stdout.split('\n')).toHaveLength(3);
    const { checkpoints } = documentOf(await onState('list', '--json'));
    expect(checkpoints).toMatchObject([
      { name: 'one', network: 'lab', inFlightFrames: 3, proven: true },
      { name: 'three', network: 'other' },
      { name: 'two', network: 'lab', fault: expect.any(String) as string },
    ]);
  });
});

describe('naming a checkpoint', () => {
  test.each([['show'], ['verify'], ['frames'], ['remove'], ['restart'], ['restore']])(
    '%s of none is exit 4',
    async (name) => {
      const outcome = await onState('--json', name, 'nowhere');
      expect(outcome.code).toBe(4);
      expect(errorOf(outcome).code).toBe('CHECKPOINT_NOT_FOUND');
      expect(outcome.stdout).toBe('');
    },
  );

  test('of two networks needs -n; a path needs nothing', async () => {
    const path = await commitSample(join(state, 'lab'));
    await commitSample(join(state, 'other'));
    expect(await onState('show', 'one')).toMatchObject({ code: 2, stdout: '' });
    expect(documentOf(await onState('show', 'one', '-n', 'other', '--json'))['path']).toBe(
      join(state, 'other/one'),
    );
    expect((await stillwire(['show', path])).code).toBe(0);
  });
});

describe('show', () => {
  test('tells when, who, how and the evidence of each port', async () => {
    await commitSample(join(state, 'lab'));
    const { code, stdout } = await onState('show', 'one');
    expect(code).toBe(0);
    expect(stdout).toContain('checkpoint one of network lab');
    expect(stdout).toContain('2025-03-04 05:06:07.089 UTC');
    expect(stdout).toMatch(/method +count, proven/);
    expect(stdout).toMatch(/pause +41.5 ms/);
    expect(stdout).toMatch(/hold 0.1 ms, drain 1.5 ms/);
    expect(stdout).toMatch(/^b +ended/m);
    expect(stdout).toMatch(/^every frame is accounted for$/m);
    expect(stdout).toMatch(
      /^b\/nic0 +tap +2 +count +yes +sentinel sent, ring empty, 0 B unsent; 40 of 40 taken in; 0 dropped$/m,
    );
    expect(stdout).toMatch(/^host +external +1 +count +yes +leads out of the cut$/m);
    expect(stdout).toMatch(/^b\/nic0 +40 +40 +0 +40 +0 +0 +0 +38 +2 +0$/m);
  });

  test('--json carries the manifest', async () => {
    await commitSample(join(state, 'lab'));
    const { manifest, schemaVersion } = documentOf(await onState('show', 'one', '--json'));
    expect(schemaVersion).toBe(1);
    expect(manifest).toMatchObject({
      name: 'one',
      inFlightFrames: 3,
      evidence: [{ port: 'a/nic0' }, {}, {}],
    });
  });

  test('words of a hostile image cannot rule the terminal', async () => {
    await commitSample(join(state, 'lab'), 'one', { stillwireVersion: '1\u001b[2J\u0007\u009b' });
    const { stdout } = await onState('show', 'one');
    expect(stdout).toContain('Stillwire 1?[2J??');
  });

  test('a damaged manifest is exit 7', async () => {
    await flipByte(join(await commitSample(join(state, 'lab')), 'manifest.json'));
    expect(await onState('show', 'one')).toMatchObject({ code: 7, stdout: '' });
  });
});

describe('verify', () => {
  test('a sound one', async () => {
    await commitSample(join(state, 'lab'));
    const { code, stdout } = await onState('verify', 'one');
    expect(stdout).toContain('is sound: 5 files');
    expect(stdout).toContain('3 frames in flight, proven by its evidence');
    expect(code).toBe(0);
    expect(documentOf(await onState('verify', 'one', '--json'))).toMatchObject({
      ok: true,
      faults: [],
      proven: true,
      inFlightFrames: 3,
    });
  });

  test('every fault, and exit 7', async () => {
    const path = await commitSample(join(state, 'lab'));
    await flipByte(join(path, 'guests/a/state.qemu'));
    await flipByte(join(path, 'attachments/notes.txt'));
    const { code, stdout, stderr } = await onState('verify', 'one');
    expect(code).toBe(7);
    expect(stderr).toBe('');
    expect(stdout).toContain('is damaged: 2 faults');
    expect(stdout).toContain('state.qemu');
    expect(stdout).toContain('notes.txt');
    const outcome = await onState('verify', 'one', '--json');
    expect(outcome.code).toBe(7);
    expect(documentOf(outcome)).toMatchObject({
      ok: false,
      faults: [{}, {}].map(() => expect.any(String) as string),
    });
  });
});

describe('frames', () => {
  beforeEach(async () => {
    await commitSample(join(state, 'lab'));
  });

  test('a line each', async () => {
    const { code, stdout } = await onState('frames', 'one');
    const lines = stdout.trimEnd().split('\n');
    expect(code).toBe(0);
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(
      /^#8 22:13:20\.000000 a\/nic0 → b\/nic0, host {2}52:54:00:00:00:0a > 52:54:00:00:00:0b, /,
    );
  });

  test('--json is one document, times exact', async () => {
    const document = documentOf(await onState('frames', 'one', '--json'));
    expect(document).toMatchObject({ schemaVersion: 1, name: 'one', network: 'lab' });
    expect(document['frames']).toMatchObject([
      { sequence: 7, timeNs: '1700000000000000007', ingress: 'a/nic0', destinations: ['b/nic0'], bytes: 60 },
      { sequence: 8, bytes: 1514 },
      { sequence: 12, ingress: 'host' },
    ]);
  });

  test('--pcap writes a classic file, or stdout', async () => {
    const expected = Buffer.from(encodeClassic(frames));
    const file = join(state, 'out.pcap');
    expect(await onState('frames', 'one', '--pcap', file)).toMatchObject({ code: 0, stdout: '' });
    expect((await readFile(file)).equals(expected)).toBe(true);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const { bytes, code } = await onState('frames', 'one', '--pcap', '-');
    expect(code).toBe(0);
    expect(bytes.equals(expected)).toBe(true);
  });

  test('--pcap into nowhere names the file', async () => {
    const { code, stderr } = await onState('frames', 'one', '--pcap', join(state, 'no/such/file'));
    expect(code).toBe(1);
    expect(stderr).toContain('no/such/file');
  });

  test('frames that have changed are not shown', async () => {
    await flipByte(join(state, 'lab/one/inflight.pcapng'));
    expect(await onState('frames', 'one')).toMatchObject({ code: 7, stdout: '' });
  });
});

describe('remove', () => {
  test('removes that one', async () => {
    const path = await commitSample(join(state, 'lab'));
    await commitSample(join(state, 'lab'), 'two');
    expect(documentOf(await onState('remove', 'one', '--json'))).toEqual({ schemaVersion: 1, removed: path });
    expect(documentOf(await onState('list', '--json'))['checkpoints']).toMatchObject([{ name: 'two' }]);
    expect((await onState('remove', 'one')).code).toBe(4);
  });
});
