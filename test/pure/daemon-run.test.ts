/** The run directory: names, locks, what is left of the dead, and which network is meant. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DaemonClient } from '../../src/daemon/client.js';
import { linesOf } from '../../src/daemon/lines.js';
import { isLocked, NetworkLock } from '../../src/daemon/lock.js';
import { pathsOf, runDirectory, secureRunDirectory } from '../../src/daemon/run-directory.js';
import { socketOwners } from '../../src/daemon/socket-owners.js';
import { runningNetworks } from '../../src/daemon/stale.js';
import { bootId, isRunning, readState, recordOf, writeState } from '../../src/daemon/state-file.js';

let run: string;
const locks: NetworkLock[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'swdr-'));
  process.env['STILLWIRE_RUN'] = run;
});

afterEach(() => {
  for (const lock of locks.splice(0)) lock.abandon();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  delete process.env['STILLWIRE_RUN'];
  rmSync(run, { recursive: true, force: true });
});

const code = (what: Promise<unknown>): Promise<unknown> =>
  what.then(
    () => 'no error',
    (error: unknown) => (error as { code?: string }).code,
  );

/** A network as a living daemon's files show it. */
async function living(network: string): Promise<void> {
  mkdirSync(join(run, network));
  locks.push((await NetworkLock.acquire(pathsOf(network).lock))!);
}

const dead = (network: string): void => {
  mkdirSync(join(run, network));
  writeFileSync(join(run, `${network}.lock`), '');
};

describe('the run directory', () => {
  it('is what the environment says, or the place of root or the user', () => {
    expect(runDirectory({ STILLWIRE_RUN: '/a/b' }, 0)).toBe('/a/b');
    expect(runDirectory({ XDG_RUNTIME_DIR: '/run/user/7' }, 0)).toBe('/run/stillwire');
    expect(runDirectory({ XDG_RUNTIME_DIR: '/run/user/7' }, 7)).toBe('/run/user/7/stillwire');
    expect(runDirectory({ XDG_RUNTIME_DIR: 'relative' }, 7)).toBe('/run/user/7/stillwire');
  });

  it('is refused when everyone may write to it', async () => {
    await secureRunDirectory(join(run, 'new'));
    chmodSync(run, 0o1777);
    expect(await code(secureRunDirectory(run))).toBe('DIRECTORY_UNSAFE');
  });

  it('takes names, not paths, and no socket that is too long', () => {
    const refused = (network: string): unknown => {
      try {
        return pathsOf(network, '/run/stillwire').socket;
      } catch (error) {
        return (error as { code?: string }).code;
      }
    };
    expect(refused('lab')).toBe('/run/stillwire/lab.sock');
    expect(refused('../lab')).toBe('NAME_INVALID');
    expect(refused('')).toBe('NAME_INVALID');
    expect(() => pathsOf('lab', `/${'x'.repeat(97)}`)).not.toThrow();
    expect(() => pathsOf('lab', `/${'x'.repeat(98)}`)).toThrow(/108 bytes/);
  });
});

describe('the lock', () => {
  it('is one process’s at a time, and free when it is given up', async () => {
    const path = join(run, 'l.lock');
    expect(isLocked(path)).toBe(false);
    const lock = await NetworkLock.acquire(path);
    expect(isLocked(path)).toBe(true);
    expect(await NetworkLock.acquire(path)).toBeUndefined();
    lock!.release();
    expect(existsSync(path)).toBe(false);
    const again = await NetworkLock.acquire(path);
    again!.abandon();
    expect(existsSync(path)).toBe(true);
    expect(isLocked(path)).toBe(false);
  });

  it('is never two’s, however often it is given up and taken', async () => {
    const path = join(run, 'l.lock');
    let holders = 0;
    let most = 0;
    const turns = Array.from({ length: 8 }, async () => {
      for (let i = 0; i < 20; i++) {
        const lock = await NetworkLock.acquire(path);
        if (lock === undefined) continue;
        most = Math.max(most, ++holders);
        await new Promise((resolve) => setImmediate(resolve));
        holders--;
        lock.release();
      }
    });
    await Promise.all(turns);
    expect(most).toBe(1);
  });
});

describe('processes', () => {
  it('are known again by pid and start, not by pid alone', () => {
    const record = recordOf(process.pid)!;
    expect(isRunning(record)).toBe(true);
    expect(isRunning({ ...record, startTime: '1' })).toBe(false);
    expect(recordOf(2 ** 22 + 1)).toBeUndefined();
  });

  it('are written down, and believed only in the boot they were written in', () => {
    const path = join(run, 'state.json');
    const since = new Date();
    const guests = [
      { name: 'a', pid: process.pid },
      { name: 'b', pid: undefined },
    ];
    writeState(path, { namespace: 'n', since, guests });
    expect(readState(path)).toMatchObject({
      bootId: bootId(),
      namespace: 'n',
      guests: [{ name: 'a', pid: process.pid }],
    });
    writeFileSync(path, JSON.stringify({ ...readState(path), bootId: 'another' }));
    expect(readState(path)).toBeUndefined();
    writeFileSync(path, '{');
    expect(readState(path)).toBeUndefined();
  });

  /** A process that listens on `path`. */
  async function listener(path: string): Promise<ChildProcess> {
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log(1))`;
    const child = spawn(process.execPath, ['-e', script]);
    children.push(child);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    return child;
  }

  it('are found by the sockets they have bound', async () => {
    const child = await listener(join(run, 'g.qmp'));
    const own = createServer().listen(join(run, 'own'));
    expect(await socketOwners(run)).toEqual([child.pid]);
    expect(await socketOwners(`${run}/other`)).toEqual([]);
    own.close();
  });

  it('are not found by the name of a socket that is not there, as one of another mount namespace', async () => {
    const path = join(run, 'g.qmp');
    await listener(path);
    rmSync(path); // the kernel goes on telling this path of its socket
    expect(await socketOwners(run)).toEqual([]);
    const child = await listener(path);
    expect(await socketOwners(run)).toEqual([child.pid]);
  });

  it.skipIf(process.getuid?.() !== 0)('are the owner of the directory, or strangers', async () => {
    const child = await listener(join(run, 'g.qmp'));
    chownSync(run, 65534, 65534);
    expect(await socketOwners(run)).toEqual([]);
    chownSync(run, 0, 0);
    expect(await socketOwners(run)).toEqual([child.pid]);
  });
});

describe('the network meant', () => {
  const connect = (choice = {}): Promise<unknown> =>
    code(DaemonClient.connect({ file: join(run, 'none.yaml'), ...choice }));

  it('is not found where nothing runs', async () => {
    expect(await runningNetworks()).toEqual([]);
    expect(await connect()).toBe('NETWORK_NOT_FOUND');
    expect(await connect({ network: 'lab' })).toBe('NETWORK_NOT_FOUND');
    expect(await connect({ network: '../lab' })).toBe('NAME_INVALID');
  });

  it('is told apart from one whose daemon died', async () => {
    dead('gone');
    expect(await runningNetworks()).toEqual([{ network: 'gone', state: 'stale' }]);
    expect(await connect()).toBe('DAEMON_UNREACHABLE');
    await living('lab');
    expect(await runningNetworks()).toEqual([
      { network: 'gone', state: 'stale' },
      { network: 'lab', state: 'running' },
    ]);
    // The only one that runs, though it has no socket yet.
    await expect(DaemonClient.connect({ file: '/none' })).rejects.toThrow(/lab\.sock: it is starting/);
    await expect(DaemonClient.connect({ network: 'gone' })).rejects.toThrow(/down -n gone/);
  });

  it('of several is the one of the network file here', async () => {
    await living('one');
    await living('two');
    expect(await connect()).toBe('NETWORK_AMBIGUOUS');
    const file = join(run, 'two.yaml');
    writeFileSync(
      file,
      'network: two\nsegments: {lan: {}}\nports: {p: {kind: device, segment: lan, device: p0}}\n',
    );
    await expect(DaemonClient.connect({ file })).rejects.toThrow(/two\.sock/);
    await expect(DaemonClient.connect({ file, network: 'one' })).rejects.toThrow(/one\.sock/);
  });
});

it('lines survive any cut of the stream, and a half last line is left out', async () => {
  const bytes = Buffer.from('eins\nzwölf\n\n€\nhalf');
  for (let size = 1; size <= bytes.length; size++) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );
    const lines: string[] = [];
    for await (const line of linesOf(
      (async function* () {
        await Promise.resolve();
        yield* chunks;
      })(),
    )) {
      lines.push(line);
    }
    expect(lines).toEqual(['eins', 'zwölf', '', '€']);
  }
});
