/**
 * An image directory in the hands of its author: files changed, cut, swapped for links, FIFOs, devices and directories,
 * with or without checksums made to match. Verify never throws or hangs, finds every change that was not signed again,
 * and reads nothing outside.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  cp,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as fc from 'fast-check';
import { listCheckpoints, openImage, verifyImage, type ManifestFile } from '../../../src/image/index.js';
import { checksumLine } from '../../../src/image/read.js';
import { commitSample } from '../../pure/image-sample.js';
import { edits, jsonEdits, spoilBytes, spoilJson, type Edit, type JsonEdit } from '../spoil.js';
import { demandCleanPrototypes, target, wrong } from '../target.js';

const FILES = [
  'manifest.json',
  'manifest.sha256',
  'inflight.pcapng',
  'guests/a/state.qemu',
  'attachments/notes.txt',
];
const SECRET = 'nobody may read this';

type Change =
  | { readonly do: 'spoil'; readonly file: number; readonly changes: Edit[] }
  | { readonly do: 'manifest'; readonly changes: JsonEdit[] }
  | { readonly do: Verb; readonly file: number; readonly to: string };
type Verb = 'link' | 'hardLink' | 'fifo' | 'directory' | 'remove' | 'grow' | 'move' | 'extra' | 'unreadable';

const file = fc.nat(FILES.length - 1);
const verbs = fc.constantFrom<Verb>(
  ...(['link', 'hardLink', 'fifo', 'directory', 'remove', 'grow', 'move', 'extra', 'unreadable'] as const),
);
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ do: fc.constant('spoil' as const), file, changes: edits }),
  fc.record({ do: fc.constant('manifest' as const), changes: jsonEdits }),
  fc.record({
    do: verbs,
    file,
    to: fc.constantFrom(
      '/dev/zero',
      '/proc/self/mem',
      '../secret',
      '.',
      'guests/b/x',
      'attachments/\u001b[2J',
    ),
  }),
);

/** What was put in a file's place is not read or written through: it may lead outside, or never end. */
async function readOwn(path: string): Promise<Buffer> {
  const { nlink, size } = await lstat(path).then((status) =>
    status.isFile() ? status : wrong('not a file'),
  );
  return nlink === 1 && size < 2 ** 20 ? readFile(path) : wrong('not of the image');
}

async function apply(top: string, one: Change): Promise<void> {
  if (one.do === 'manifest') {
    const path = join(top, 'manifest.json');
    const manifest: unknown = JSON.parse((await readOwn(path)).toString());
    await writeFile(path, JSON.stringify(spoilJson(manifest, one.changes)));
    return;
  }
  const path = join(top, FILES[one.file]!);
  if (one.do === 'spoil') await writeFile(path, spoilBytes(await readOwn(path), one.changes));
  else if (one.do === 'grow') await truncate(path, 8 * 2 ** 30);
  else if (one.do === 'unreadable') await chmod(path, 0);
  else if (one.do === 'hardLink') {
    await rm(path);
    await link(join(top, '../secret'), path);
  } else if (one.do === 'extra') {
    await mkdir(join(top, dirname(one.to)), { recursive: true });
    await writeFile(join(top, one.to.startsWith('/') ? 'extra' : one.to), 'x', { flag: 'wx' });
  } else if (one.do === 'move') await rename(path, join(top, 'attachments', 'moved'));
  else {
    await rm(path);
    if (one.do === 'link') await symlink(one.to, path);
    if (one.do === 'fifo') execFileSync('mkfifo', [path]);
    if (one.do === 'directory') await mkdir(path);
  }
}

/** Hashes and checksum made to match what is there, as far as it can be. */
async function sign(top: string): Promise<void> {
  try {
    const path = join(top, 'manifest.json');
    const manifest = JSON.parse((await readOwn(path)).toString()) as { files: ManifestFile[] };
    const files: ManifestFile[] = [];
    for (const each of manifest.files) {
      const bytes = await readOwn(join(top, each.path));
      files.push({ ...each, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
    }
    const text = Buffer.from(JSON.stringify({ ...manifest, files }));
    await writeFile(path, text);
    await rm(join(top, 'manifest.sha256'), { force: true }); // a FIFO there would be written to for ever
    await writeFile(join(top, 'manifest.sha256'), checksumLine(text), { flag: 'wx' });
  } catch {
    // Spoilt too far to be signed.
  }
}

export default target(async () => {
  const root = await mkdtemp(join(tmpdir(), 'stillwire-fuzz-'));
  const sound = await commitSample(root, 'sound');
  await writeFile(join(root, 'secret'), SECRET);
  const before = JSON.stringify((await verifyImage(sound)).manifest);

  async function judge(top: string, signed: boolean): Promise<void> {
    const report = await verifyImage(top);
    demandCleanPrototypes();
    const clean = report.faults.length === 0 && report.unsupported.length === 0;
    if (report.faults.some((fault) => fault.includes(SECRET))) wrong('a fault quotes a file outside');
    if (clean && !signed && JSON.stringify(report.manifest) !== before) wrong('a change was not found');
    if (clean) await (await openImage(top)).frames();
    for (const { fault, path } of await listCheckpoints(root, undefined, root)) {
      if (path === sound && fault !== undefined) wrong(`the sound one: ${fault}`);
    }
  }

  return {
    inputs: fc.record({ changes: fc.array(change, { minLength: 1, maxLength: 3 }), signed: fc.boolean() }),
    async check({ changes, signed }) {
      const top = join(root, 'spoilt');
      await cp(sound, top, { recursive: true });
      try {
        for (const one of changes) await apply(top, one).catch(() => undefined); // what is gone cannot be spoilt
        if (signed) await sign(top);
        await judge(top, signed);
        if (!existsSync(join(root, 'secret'))) wrong('a file outside is gone');
      } finally {
        await rm(top, { recursive: true, force: true });
      }
    },
    close: () => rm(root, { recursive: true, force: true }),
  };
});
