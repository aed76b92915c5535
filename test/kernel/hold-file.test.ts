/** A daemon killed in the middle of a hold, its guests living on: what they read and what is recovered is everything, once. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NetworkDefinition } from '../../src/definition/definition.js';
import { numberOf } from '../pure/frames.js';
import { recoverHeld } from '../../src/hold-queue/recover.js';
import { loadBuild } from './build.js';
import { ip, Lab } from './lab.js';

const lab = new Lab('file');
const directory = mkdtempSync(join(tmpdir(), 'stillwire-hold-'));
let build: Awaited<ReturnType<typeof loadBuild>>;
let rounds = 0;

beforeAll(async () => {
  build = await loadBuild();
});
afterAll(() => {
  lab.close();
  rmSync(directory, { recursive: true, force: true });
});

const numbersIn = (path: string): number[] =>
  readFileSync(path, 'utf8').split('\n').filter(Boolean).map(Number);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

/** Waits until the reader has read its ring empty: nothing new for a while. */
async function settled(path: string): Promise<number[]> {
  for (let before = -1; ;) {
    const numbers = numbersIn(path);
    if (numbers.length === before) return numbers;
    before = numbers.length;
    await sleep(200);
  }
}

interface Outcome {
  /** What each guest had read when its ring was empty. */
  readonly read: Record<'b' | 'c', number[]>;
  readonly recovered: Record<'b' | 'c', number[]>;
}

/** Runs a network as far as `stage`, kills it `delayMs` later, and gathers what became of its frames. */
async function killedAt(stage: string, count: number, delayMs: number): Promise<Outcome> {
  const name = lab.network(`-${rounds++}`);
  const holdFile = join(directory, `${name}.hold`);
  const outputs = { b: `${holdFile}.b`, c: `${holdFile}.c` };
  for (const output of Object.values(outputs)) writeFileSync(output, '');
  const program = fileURLToPath(new URL('programs/held-network.mjs', import.meta.url));
  const words = [program, build.root, name, holdFile, stage, String(count), outputs.b, outputs.c];
  const daemon = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let readers: number[] = [];
  try {
    const [said] = (await once(daemon.stdout.setEncoding('utf8'), 'data')) as [string];
    readers = JSON.parse(/^ready (.*)/.exec(said)![1]!) as number[];
    await sleep(delayMs);
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
    const read = { b: await settled(outputs.b), c: await settled(outputs.c) };
    const owed = await recoverHeld(holdFile);
    const of = (port: string): number[] =>
      owed
        .filter(({ destinations }) => destinations.includes(port))
        .map(({ bytes }) => numberOf(Buffer.from(bytes)));
    return { read, recovered: { b: of('b/nic0'), c: of('c/nic0') } };
  } finally {
    daemon.kill('SIGKILL');
    for (const pid of readers) process.kill(pid, 'SIGKILL');
    await sleep(50);
    ip('netns', 'delete', `stillwire-${name}`);
  }
}

test('killed while held, and after a mark: everything is recovered, for every port', async () => {
  for (const stage of ['held', 'marked']) {
    const { read, recovered } = await killedAt(stage, 5000, 0);
    expect(read).toEqual({ b: [], c: [] });
    expect(recovered.b).toEqual(upTo(5000));
    expect(recovered.c).toEqual(upTo(5000));
  }
});

test('killed while frames arrive: what had been taken in, without a gap', async () => {
  const { read, recovered } = await killedAt('arriving', 20_000, 60);
  expect(read).toEqual({ b: [], c: [] });
  expect(recovered.b.length).toBeGreaterThan(0);
  expect(recovered.b).toEqual(upTo(recovered.b.length));
  // The kill may fall between the two entries of the last frame, which is of the burst just received.
  expect(recovered.c).toEqual(upTo(recovered.c.length));
  expect(Math.abs(recovered.c.length - recovered.b.length)).toBeLessThanOrEqual(1);
});

test('killed in the middle of a paced release, with a slow reader: none missing, none twice', async () => {
  const delays =
    process.env['HOLD_KILLS'] === undefined
      ? [4, 17, 45]
      : Array.from({ length: Number(process.env['HOLD_KILLS']) }, () => Math.random() * 60);
  let midway = 0;
  for (const delay of delays) {
    const { read, recovered } = await killedAt('releasing', 5000, delay);
    expect([...read.b, ...recovered.b]).toEqual(upTo(5000));
    expect([...read.c, ...recovered.c]).toEqual(upTo(5000));
    if (read.b.length > 0 && recovered.b.length > 0) midway++;
  }
  expect(midway).toBeGreaterThan(0);
}, 600_000);

test('a full run directory: told, not felt; and an orderly end leaves no file', async () => {
  const mount = join(directory, 'small');
  mkdirSync(mount);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'stillwire-test', mount]);
  const holdFile = join(mount, 'hold');
  const nic = { nics: [{ name: 'nic0', segment: 'lan', mac: '', mtu: 1500 }] };
  try {
    const network = await build.network.Network.open(
      {
        network: lab.network('-full'),
        segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
        guests: { a: nic, b: nic },
        ports: {},
      } as unknown as NetworkDefinition,
      { holdFile },
    );
    const told: string[] = [];
    network.on('unsafe', (reason) => told.push(reason));
    try {
      expect(existsSync(holdFile)).toBe(true);
      const hold = await network.holdAsIs({ leaseMs: 60_000 });
      const { readSync, writeSync } = await import('node:fs');
      const frame = Buffer.alloc(10 + 1500, 0);
      frame.fill(0xff, 10, 16);
      frame.writeUInt16BE(0x88b6, 22);
      for (let n = 1; n <= 8000; n++) {
        frame.writeUInt32BE(n, 24);
        writeSync(network.tapFd('a/nic0'), frame);
        if (n % 200 === 0) await sleep(1);
      }
      const held = async (): Promise<number> =>
        (await network.ledger()).ports.find(({ port }) => port === 'b/nic0')!.egress.held;
      for (let tries = 0; (await held()) < 8000 && tries < 500; tries++) await sleep(5);
      expect(told).toHaveLength(1);
      const owed = await recoverHeld(holdFile);
      expect(owed.length).toBeGreaterThan(1000);
      expect(owed.length).toBeLessThan(5000);
      await hold.release();
      const read: number[] = [];
      const buffer = Buffer.alloc(2000);
      for (let tries = 0; read.length < 8000 && tries < 2000; tries++) {
        try {
          for (;;) {
            readSync(network.tapFd('b/nic0'), buffer);
            if (buffer.readUInt16BE(22) === 0x88b6) read.push(buffer.readUInt32BE(24));
          }
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        }
        await sleep(1);
      }
      expect(read).toEqual(upTo(8000));
    } finally {
      await network.close();
    }
    expect(existsSync(holdFile)).toBe(false);
  } finally {
    execFileSync('umount', [mount]);
  }
});
