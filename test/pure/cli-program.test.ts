/** The real program, as its own process: what only a process shows (exit codes, pipes, signals). */
import { spawn } from 'node:child_process';
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { checksumLine } from '../../src/image/read.js';
import { body, capture, commitSample, frame, scratch } from './image-sample.js';
import { ImageDraft, INFLIGHT_FILE, writeInflight } from '../../src/image/index.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
let program: string;
let state: string;

/** Translates src/ without checking it, so that the test needs no build and cannot meet a stale one. */
async function build(): Promise<string> {
  const top = await mkdtemp(join(tmpdir(), 'stillwire-program-'));
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  const sources = await readdir(join(root, 'src'), { recursive: true });
  for (const source of sources.filter((name) => name.endsWith('.ts'))) {
    const text = await readFile(join(root, 'src', source), 'utf8');
    const target = join(top, 'dist', source.replace(/\.ts$/, '.js'));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, ts.transpileModule(text, { compilerOptions }).outputText);
  }
  await cp(join(root, 'package.json'), join(top, 'package.json'));
  await symlink(join(root, 'node_modules'), join(top, 'node_modules'));
  return top;
}

beforeAll(async () => {
  program = await build();
}, 120_000);
afterAll(() => rm(program, { recursive: true, force: true }));
beforeEach(async () => {
  state = await scratch();
});

interface Ending {
  readonly code: number | null;
  readonly by: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(...args: string[]) {
  const env = {
    PATH: process.env['PATH'],
    STILLWIRE_RUN: join(state, 'run'),
    STILLWIRE_STATE: join(state, 'state'),
  };
  const child = spawn(process.execPath, [join(program, 'dist/cli/main.js'), ...args], { env, cwd: state });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const ending = new Promise<Ending>((resolve) => {
    child.once('close', (code, by) => resolve({ code, by, stdout, stderr }));
  });
  return { child, ending };
}

const stillwire = (...args: string[]): Promise<Ending> => start(...args).ending;

describe('the program', { timeout: 30_000 }, () => {
  test('exit codes', async () => {
    expect(await stillwire('help')).toMatchObject({ code: 0, stderr: '' });
    expect(await stillwire('no-such-command')).toMatchObject({ code: 2, stdout: '' });
    expect(await stillwire('show', 'nowhere')).toMatchObject({ code: 4, stdout: '' });
    expect(await stillwire('up')).toMatchObject({ code: 2, stdout: '' });
    const path = await commitSample(join(state, 'state/lab'));
    expect(await stillwire('verify', 'one')).toMatchObject({ code: 0, stderr: '' });
    await rm(join(path, 'guests/a/state.qemu'));
    expect(await stillwire('verify', 'one')).toMatchObject({ code: 7 });
  });

  test('without a daemon, and without privileges, a command for one says so', async () => {
    expect(await stillwire('status')).toMatchObject({ code: 0, stdout: 'no network is running\n' });
    const { code, stdout, stderr } = await stillwire('checkpoint', '--json');
    expect(code).toBe(4);
    expect(stdout).toBe('');
    expect(JSON.parse(stderr)).toMatchObject({ schemaVersion: 1, error: { code: 'NETWORK_NOT_FOUND' } });
    expect((await stillwire('down')).code).toBe(4);
  });

  test('doctor answers, whatever it finds', async () => {
    const { code, stdout } = await stillwire('doctor', '--json');
    const { ok, findings } = JSON.parse(stdout) as {
      ok: boolean;
      findings: { name: string; state: string }[];
    };
    expect(code).toBe(ok ? 0 : 1);
    expect(findings.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['tun', 'netns', 'AF_PACKET', 'io_uring', 'QEMU', 'KVM', 'privileges', 'CRIU']),
    );
    expect(findings.find(({ name }) => name === 'node')?.state).toBe('ok');
    expect(findings.find(({ name }) => name === 'KVM')?.state).not.toBe('ok');
  });

  test('a reader that goes away ends the output, not the program', async () => {
    const many = Array.from({ length: 20_000 }, (_, i) => frame(i, 'a/nic0', ['b/nic0']));
    const draft = await ImageDraft.create(join(state, 'state/lab'), 'many');
    await writeInflight(draft.path(INFLIGHT_FILE), { ...capture, frames: many });
    const {
      ledger,
      guests: { b },
      ...rest
    } = body('many');
    const towards = ledger.map((each) => {
      const held = each.port === 'b/nic0' ? many.length : 0;
      const { egress } = each;
      return { ...each, egress: { ...egress, restored: many.length, held, sent: 40 + many.length - held } };
    });
    await draft.commit({ ...rest, ledger: towards, guests: { b: b! }, inFlightFrames: many.length });
    const { child, ending } = start('frames', 'many');
    child.stdout.once('data', () => child.stdout.destroy());
    const { code, by, stderr } = await ending;
    expect({ code, by, stderr }).toEqual({ code: 0, by: null, stderr: '' });
  });

  test('an interrupted command is exit code 130, and says so', async () => {
    const path = await commitSample(join(state, 'state/lab'));
    const large = 'guests/a/state.qemu';
    await enlarge(path, large);
    const { child, ending } = start('verify', 'one');
    await vi.waitFor(async () => expect(await openFiles(child.pid!)).toContain(join(path, large)), 20_000);
    child.kill('SIGINT');
    expect(await ending).toEqual({
      code: 130,
      by: null,
      stdout: '',
      stderr: expect.stringContaining('interrupted by SIGINT') as string,
    });
  });
});

/** Makes one file of an image so large that hashing it takes minutes; it occupies nothing. */
async function enlarge(image: string, file: string): Promise<void> {
  const size = 2 ** 36;
  await truncate(join(image, file), size);
  const text = await readFile(join(image, 'manifest.json'), 'utf8');
  const manifest = JSON.parse(text) as { files: { path: string; bytes: number }[] };
  manifest.files.find(({ path }) => path === file)!.bytes = size;
  const changed = Buffer.from(JSON.stringify(manifest));
  await writeFile(join(image, 'manifest.json'), changed);
  await writeFile(join(image, 'manifest.sha256'), checksumLine(changed));
}

async function openFiles(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  const links = (await readdir(directory)).map((fd) => readlink(join(directory, fd)).catch(() => ''));
  return Promise.all(links);
}
