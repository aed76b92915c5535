/** Images and directories that somebody else has, or had, his hands on. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  lchown,
  link,
  mkdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { secureRunDirectory } from '../../src/daemon/run-directory.js';
import {
  ImageDraft,
  listCheckpoints,
  openImage,
  readManifest,
  removeCheckpoint,
  verifyImage,
} from '../../src/image/index.js';
import { partialName } from '../../src/image/partial.js';
import { stillwire } from './cli-run.js';
import { commitSample, scratch } from './image-sample.js';

const STATE = 'guests/a/state.qemu';
const STRANGER = 12_345;
const isRoot = process.getuid?.() === 0;

const codeOf = (what: Promise<unknown>): Promise<unknown> =>
  what.then(
    () => 'no error',
    (error: unknown) => (error as { code?: string }).code,
  );

const run = promisify(execFile);

/** A way to put something else in a file's place. */
const SWAPS: Record<string, (path: string, outside: string) => Promise<unknown> | undefined> = {
  'a link outside': (path, outside) => symlink(outside, path),
  'a link to a device': (path) => symlink('/dev/zero', path),
  'a FIFO': (path) => run('mkfifo', [path]),
  'a directory': (path) => mkdir(path),
  'a device': (path) => run('mknod', [path, 'c', '1', '5']),
};

describe('nothing outside an image is read, and nothing hangs', () => {
  const files = ['manifest.json', 'manifest.sha256', 'inflight.pcapng', STATE];
  const cases = files.flatMap((file) => Object.keys(SWAPS).map((swap) => [file, swap] as const));

  it.each(cases)('%s is %s', async (file, swap) => {
    if (swap === 'a device' && !isRoot) return;
    const root = await scratch();
    const top = await commitSample(root);
    const outside = join(root, 'outside');
    await rename(join(top, file), outside); // the very bytes, so that only the way to them is wrong
    await SWAPS[swap]!(join(top, file), outside);
    const { faults } = await verifyImage(top);
    expect(faults.join('\n')).toContain(file);
    expect(await codeOf(openImage(top, { pin: true }))).toBe('IMAGE_INVALID');
    if (file === 'inflight.pcapng') expect((await stillwire(['frames', top])).code).toBe(7);
    if (file.startsWith('manifest')) expect(await codeOf(readManifest(top))).toBe('IMAGE_INVALID');
    await listCheckpoints(root, undefined, root);
    await removeCheckpoint(top).catch(() => undefined); // one whose manifest is gone is none
    expect(existsSync(outside)).toBe(true);
  });

  it('a directory on the way is a link', async () => {
    const root = await scratch();
    const top = await commitSample(root);
    await rename(join(top, 'guests/a'), join(root, 'elsewhere'));
    await symlink(join(root, 'elsewhere'), join(top, 'guests/a'));
    expect((await verifyImage(top)).faults.join('\n')).toContain(
      '"guests/a" is neither a file nor a directory',
    );
    expect(await codeOf(openImage(top))).toBe('IMAGE_INVALID');
    await removeCheckpoint(top);
    expect(existsSync(join(root, 'elsewhere/state.qemu'))).toBe(true);
  });

  it('a hard link is a file like any other: its bytes count, and removing the image leaves the other name', async () => {
    const root = await scratch();
    const top = await commitSample(root);
    await link(join(top, STATE), join(root, 'other'));
    expect((await verifyImage(top)).faults).toEqual([]);
    await writeFile(join(root, 'other'), 'QEVM state of b');
    expect((await verifyImage(top)).faults).toEqual([`"${STATE}" has changed (sha256 differs)`]);
    await removeCheckpoint(top);
    expect(await readFile(join(root, 'other'), 'utf8')).toBe('QEVM state of b');
  });

  it.each([
    ['manifest.json', 2 ** 40],
    ['inflight.pcapng', 2 ** 40],
    ['manifest.sha256', 2 ** 40],
  ])('%s is huge and empty: refused by its size, not read', async (file, size) => {
    const top = await commitSample(await scratch());
    await truncate(join(top, file), size);
    const { faults } = await verifyImage(top);
    expect(faults.join('\n')).toContain(String(size));
    if (file === 'inflight.pcapng') expect((await stillwire(['frames', top])).code).toBe(7);
  });

  it('the manifest itself says the in-flight frames are huge: they are not hashed first', async () => {
    const top = await commitSample(await scratch());
    const path = join(top, 'manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8')) as { files: { path: string; bytes: number }[] };
    for (const each of manifest.files) if (each.path === 'inflight.pcapng') each.bytes = 2 ** 40;
    await writeFile(path, JSON.stringify(manifest));
    await truncate(join(top, 'inflight.pcapng'), 2 ** 40);
    expect((await verifyImage(top)).faults.join('\n')).toContain(`${2 ** 40} bytes, more than`);
  });
});

describe('what is restarted is what was verified', () => {
  it('although its name has come to mean another file, and its directory another', async () => {
    const root = await scratch();
    const top = await commitSample(root);
    const image = await openImage(top, { pin: true });
    await unlink(join(top, STATE));
    await writeFile(join(top, STATE), 'another state');
    await rename(join(top, 'guests'), join(top, 'gone'));
    expect(await readFile(image.pinned(STATE), 'utf8')).toBe('QEVM state of a');
    expect(await readFile(image.pinned(STATE), 'utf8')).toBe('QEVM state of a'); // from its beginning, each time
    expect(() => image.pinned('inflight.pcapng')).toThrow('has no file');
    const path = image.pinned(STATE);
    image.close();
    expect(existsSync(path)).toBe(false);
  });

  it('and it is the file that is pinned that is hashed', async () => {
    const top = await commitSample(await scratch());
    await writeFile(join(top, STATE), 'QEVM state of b');
    expect(await codeOf(openImage(top, { pin: true }))).toBe('IMAGE_INVALID');
  });
});

describe.runIf(isRoot)('an image that a stranger could change', () => {
  afterEach(() => {
    delete process.env['SUDO_UID'];
  });

  it.each(['.', 'guests', 'guests/a', STATE, 'manifest.json', 'inflight.pcapng'])(
    'by owning %s, is read but not restarted',
    async (part) => {
      const top = await commitSample(await scratch());
      await chown(join(top, part), STRANGER, 0);
      expect((await verifyImage(top)).faults).toEqual([]);
      expect((await stillwire(['show', top])).code).toBe(0);
      expect((await stillwire(['frames', top])).code).toBe(0);
      expect(await codeOf(openImage(top))).toBe('DIRECTORY_UNSAFE');
      process.env['SUDO_UID'] = String(STRANGER); // no stranger: he ran us
      expect(await codeOf(openImage(top))).toBe('no error');
    },
  );

  it.each(['.', STATE])('because everyone may write to %s, is not restarted', async (part) => {
    const top = await commitSample(await scratch());
    await chmod(join(top, part), 0o777);
    expect(await codeOf(openImage(top))).toBe('DIRECTORY_UNSAFE');
  });

  it('by owning a link to it, is restarted all the same: what counts is what was verified', async () => {
    const root = await scratch();
    const top = await commitSample(root);
    await symlink(top, join(root, 'link'));
    await lchown(join(root, 'link'), STRANGER, 0);
    expect(await codeOf(openImage(join(root, 'link')))).toBe('no error');
  });
});

describe.runIf(isRoot)('directories for checkpoints and sockets', () => {
  const begin = async (root: string): Promise<unknown> => {
    try {
      await (await ImageDraft.create(root, 'one')).abandon();
      return 'no error';
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };

  it('are refused when one above belongs to a stranger or is writable by everyone', async () => {
    const above = await scratch();
    await mkdir(join(above, 'middle/root'), { recursive: true });
    const root = join(above, 'middle/root');
    expect([await begin(root), await codeOf(secureRunDirectory(root))]).toEqual(['no error', 'no error']);
    await chown(join(above, 'middle'), STRANGER, 0);
    expect([await begin(root), await codeOf(secureRunDirectory(root))]).toEqual([
      'DIRECTORY_UNSAFE',
      'DIRECTORY_UNSAFE',
    ]);
    process.env['SUDO_UID'] = String(STRANGER);
    expect([await begin(root), await codeOf(secureRunDirectory(root))]).toEqual(['no error', 'no error']);
    delete process.env['SUDO_UID'];
    await chown(join(above, 'middle'), 0, 0);
    await chmod(join(above, 'middle'), 0o777);
    expect([await begin(root), await codeOf(secureRunDirectory(root))]).toEqual([
      'DIRECTORY_UNSAFE',
      'DIRECTORY_UNSAFE',
    ]);
    await chmod(join(above, 'middle'), 0o1777); // nobody else can rename what is in a sticky one
    expect([await begin(root), await codeOf(secureRunDirectory(root))]).toEqual(['no error', 'no error']);
  });

  it('are judged where a link leads to', async () => {
    const above = await scratch();
    await mkdir(join(above, 'theirs/root'), { recursive: true });
    await chown(join(above, 'theirs'), STRANGER, 0);
    await symlink(join(above, 'theirs/root'), join(above, 'mine'));
    expect(await begin(join(above, 'mine'))).toBe('DIRECTORY_UNSAFE');
    expect(await codeOf(secureRunDirectory(join(above, 'mine')))).toBe('DIRECTORY_UNSAFE');
  });
});

it('what writers that died left behind goes with the next checkpoint', async () => {
  const root = await scratch();
  const dead = partialName('one').replace(`-${process.pid}-`, '-1-');
  await mkdir(join(root, dead, 'guests'), { recursive: true });
  await (await ImageDraft.create(root, 'two')).abandon();
  expect(existsSync(join(root, dead))).toBe(false);
  await rm(root, { recursive: true });
});
