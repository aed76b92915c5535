import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmod,
  chown,
  mkdir,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ImageDraft, sweepPartials, verifyImage } from '../../src/image/index.js';
import type { ManifestBody } from '../../src/image/index.js';
import { partialName } from '../../src/image/partial.js';
import { body, commitSample, fill, scratch } from './image-sample.js';

const failing = (code: string, words: RegExp | string = ''): unknown =>
  expect.objectContaining({ code, message: expect.stringMatching(words) as unknown });

describe('a draft', () => {
  it('becomes a checkpoint that sha256sum accepts and verify finds sound', async () => {
    const root = await scratch();
    const draft = await ImageDraft.create(root, 'one');
    await fill(draft);
    expect(await readdir(root)).toEqual([draft.directory.slice(root.length + 1)]);
    const { path, manifest, bytes } = await draft.commit(body('one'));
    expect(path).toBe(join(root, 'one'));
    expect(await readdir(root)).toEqual(['one']);
    execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'manifest.sha256'], { cwd: path });
    expect(manifest.files.map((file) => file.path)).toEqual([
      'attachments/notes.txt',
      'guests/a/state.qemu',
      'inflight.pcapng',
    ]);
    expect(await verifyImage(path)).toMatchObject({ faults: [], unsupported: [], proven: true, bytes });
  });

  it('makes its root private', async () => {
    const root = join(await scratch(), 'state/lab');
    const draft = await ImageDraft.create(root, 'one');
    for (const directory of [root, join(root, '..'), draft.directory]) {
      expect((await stat(directory)).mode & 0o777).toBe(0o700);
    }
    await draft.abandon();
  });

  it.each(['', '.', '..', '.hidden', 'a/b', '-x', 'x'.repeat(65), 'a b', 'ä', 'a\n'])(
    'refuses the name %j',
    async (name) => {
      await expect(ImageDraft.create(await scratch(), name)).rejects.toEqual(failing('NAME_INVALID'));
    },
  );

  it.each([
    '/etc/passwd',
    '../x',
    'guests/../../x',
    'guests/a',
    'manifest.json',
    'other',
    'guests//x',
    'guests/a/./x',
    '',
  ])('refuses the path %j', async (path) => {
    const draft = await ImageDraft.create(await scratch(), 'one');
    expect(() => draft.path(path)).toThrow(failing('NAME_INVALID'));
    await draft.abandon();
  });

  it('says of a file that could not be written whose it was', async () => {
    const draft = await ImageDraft.create(await scratch(), 'one');
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    await expect(draft.write('inflight.pcapng', () => Promise.reject(full))).rejects.toEqual(
      failing('COMMIT_FAILED', 'one was not written: ENOSPC'),
    );
    await draft.abandon();
  });

  it('refuses a root that everyone may write to, unless it is sticky', async () => {
    const root = await scratch();
    await chmod(root, 0o777);
    await expect(ImageDraft.create(root, 'one')).rejects.toEqual(
      failing('DIRECTORY_UNSAFE', 'writable by everyone'),
    );
    await chmod(root, 0o1777);
    await (await ImageDraft.create(root, 'one')).abandon();
  });

  it.runIf(process.getuid?.() === 0)('refuses a root that belongs to another user', async () => {
    const root = await scratch();
    await chown(root, 12_345, 0);
    await expect(ImageDraft.create(root, 'one')).rejects.toEqual(failing('DIRECTORY_UNSAFE', 'uid 12345'));
  });

  it('does not touch what has its name already', async () => {
    const root = await scratch();
    await commitSample(root);
    await expect(ImageDraft.create(root, 'one')).rejects.toEqual(failing('CHECKPOINT_EXISTS'));
    await mkdir(join(root, 'empty'));
    await expect(ImageDraft.create(root, 'empty')).rejects.toEqual(failing('CHECKPOINT_EXISTS'));
    await symlink('/nowhere', join(root, 'link'));
    await expect(ImageDraft.create(root, 'link')).rejects.toEqual(failing('CHECKPOINT_EXISTS'));
    expect((await readdir(root)).sort()).toEqual(['empty', 'link', 'one']);
  });

  it('wins or loses whole when two have one name', async () => {
    const root = await scratch();
    const drafts = await Promise.all([ImageDraft.create(root, 'one'), ImageDraft.create(root, 'one')]);
    await Promise.all(drafts.map((draft) => fill(draft)));
    const ends = await Promise.allSettled(drafts.map((draft) => draft.commit(body('one'))));
    expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(ends.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'CHECKPOINT_EXISTS' },
    });
    expect(await readdir(root)).toEqual(['one']);
    expect((await verifyImage(join(root, 'one'))).faults).toEqual([]);
  });

  it('leaves nothing behind when abandoned, however often', async () => {
    const root = await scratch();
    const draft = await ImageDraft.create(root, 'one');
    await fill(draft);
    await draft.abandon();
    await draft.abandon();
    expect(await readdir(root)).toEqual([]);
    await expect(draft.commit(body('one'))).rejects.toEqual(failing('INTERNAL', 'abandoned'));
  });

  it('is not harmed by an abandon after its commit', async () => {
    const root = await scratch();
    const draft = await ImageDraft.create(root, 'one');
    await fill(draft);
    await draft.commit(body('one'));
    await draft.abandon();
    expect((await verifyImage(join(root, 'one'))).faults).toEqual([]);
  });

  it('can be abandoned while it commits', async () => {
    const root = await scratch();
    const draft = await ImageDraft.create(root, 'one');
    await fill(draft);
    const commit = draft.commit(body('one'));
    const ended = expect(commit).rejects.toEqual(failing('COMMIT_FAILED', 'abandoned'));
    await Promise.all([draft.abandon(), draft.abandon()]);
    await ended;
    expect(await readdir(root)).toEqual([]);
  });
});

describe('a commit that fails', () => {
  it.each<[string, (draft: ImageDraft) => Promise<unknown>, RegExp]>([
    ['the directory is gone', (draft) => rm(draft.directory, { recursive: true }), /ENOENT/],
    ['a file is a link', (draft) => symlink('/etc/passwd', draft.path('attachments/link')), /neither a file/],
    [
      'a file lies astray',
      (draft) => writeFile(join(draft.directory, 'core'), ''),
      /not a path inside an image/,
    ],
    ['a manifest lies there', (draft) => writeFile(join(draft.directory, 'manifest.json'), ''), /not a path/],
  ])('leaves nothing behind: %s', async (_, spoil, words) => {
    const root = await scratch();
    const draft = await ImageDraft.create(root, 'one');
    await fill(draft);
    await spoil(draft);
    await expect(draft.commit(body('one'))).rejects.toEqual(failing('COMMIT_FAILED', words));
    expect(await readdir(root)).toEqual([]);
  });

  it('leaves nothing behind: a manifest no reader would take', async () => {
    const root = await scratch();
    const draft = await ImageDraft.create(root, 'one');
    await fill(draft);
    const wrong = { ...body('one'), inFlightFrames: -1 };
    await expect(draft.commit(wrong)).rejects.toEqual(failing('COMMIT_FAILED', /inFlightFrames/));
    expect(await readdir(root)).toEqual([]);
  });

  it.each<[string, Partial<ManifestBody>, RegExp]>([
    ['an unbalanced ledger', { ledger: [] }, /ledger: nothing about a\/nic0/],
    ['a proof the evidence denies', { proven: false }, /the evidence says true/],
    ['a wrong number of frames', { inFlightFrames: 2 }, /says 2 frames in flight, 3 are there/],
    ['frames of another checkpoint', { checkpointId: 'another-checkpoint' }, /belongs to checkpoint/],
  ])('leaves nothing behind: %s, which no restart would take', async (_, change, words) => {
    const root = await scratch();
    const draft = await ImageDraft.create(root, 'one');
    await fill(draft);
    const commit = draft.commit({ ...body('one'), ...change });
    await expect(commit).rejects.toEqual(failing('COMMIT_FAILED', words));
    expect(await readdir(root)).toEqual([]);
  });

  it('keeps what came to have its name meanwhile', async () => {
    const root = await scratch();
    const draft = await ImageDraft.create(root, 'one');
    await fill(draft);
    await writeFile(join(root, 'one'), 'mine');
    await expect(draft.commit(body('one'))).rejects.toEqual(failing('CHECKPOINT_EXISTS'));
    expect(await readdir(root)).toEqual(['one']);
    expect(await readFile(join(root, 'one'), 'utf8')).toBe('mine');
  });
});

describe('partial directories', () => {
  /** As this process would name it, with another process id. */
  const of = (pid: number): string => partialName('one').replace(`-${process.pid}-`, `-${pid}-`);

  it('of dead processes are swept, those of living ones and all else kept', async () => {
    const root = await scratch();
    const dead = spawnSync('true').pid;
    const mine = (await ImageDraft.create(root, 'one')).directory.slice(root.length + 1);
    // Our parent lives, but did not start when this name says: its id was used before.
    const left = [of(dead), of(process.ppid)].sort();
    for (const name of [...left, 'one', '.other', '.one.partial-1']) {
      await mkdir(join(root, name, 'guests'), { recursive: true });
    }
    expect((await sweepPartials(root)).sort()).toEqual(left);
    expect((await readdir(root)).sort()).toEqual(['.one.partial-1', mine, '.other', 'one'].sort());
  });

  it('of another boot or container are swept when a day old', async () => {
    const root = await scratch();
    const foreign = (digits: string): string => `.one.partial-1-1-${digits}-0123456789ab`;
    for (const name of [foreign('00000000'), foreign('11111111')]) await mkdir(join(root, name));
    const old = Date.now() / 1000 - 2 * 24 * 3600;
    await utimes(join(root, foreign('00000000')), old, old);
    expect(await sweepPartials(root)).toEqual([foreign('00000000')]);
  });

  it('in a directory that is not there are none', async () => {
    expect(await sweepPartials(join(await scratch(), 'nothing'))).toEqual([]);
  });
});
