import { mkdir, writeFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import { fakeDaemon } from './cli-daemon.fixture.js';
import { documentOf, errorOf, stillwire } from './cli-run.js';
import { commitSample, scratch } from './image-sample.js';

afterEach(() => vi.unstubAllEnvs());

let state: string;
beforeEach(async () => {
  state = await scratch();
});

describe('status', () => {
  test('guests, ports and figures', async () => {
    const { daemon } = fakeDaemon();
    const { code, stdout } = await stillwire(['status'], daemon);
    expect(code).toBe(0);
    expect(stdout).toContain('network lab: namespace stillwire-lab, engine epoll');
    expect(stdout).toMatch(/a +running +4711 +a\/nic0/);
    expect(stdout).toMatch(/a\/nic0 +tap +lan +- +12 +2.0 KiB +1 +34 +100 B +0 +5$/m);
  });

  test('--json has the same shape for none, one and stale', async () => {
    const one = await stillwire(['status', '--json'], fakeDaemon().daemon);
    expect(documentOf(one)).toMatchObject({ schemaVersion: 1, networks: [{ network: 'lab' }], stale: [] });
    const none = await stillwire(['status', '--json'], fakeDaemon({ running: [] }).daemon);
    expect(documentOf(none)).toEqual({ schemaVersion: 1, networks: [], stale: [], remains: [] });
    const stale = fakeDaemon({ running: [{ network: 'old', state: 'stale' }] }).daemon;
    expect(documentOf(await stillwire(['status', '--json'], stale))).toMatchObject({
      networks: [],
      stale: ['old'],
      remains: [{ network: 'old', guests: [{ name: 'a', pid: 4711, state: 'paused', toResume: true }] }],
    });
    const { stdout, code } = await stillwire(['status'], stale);
    expect(stdout).toContain('network old: its daemon died during checkpoint one, with guests stopped');
    expect(stdout).toMatch(/a +paused, to be resumed +4711/);
    expect(stdout).toContain('stillwire up FILE');
    expect(code).toBe(0);
    const named = await stillwire(['status', '-n', 'old', '--json'], stale);
    expect(documentOf(named)).toMatchObject({ stale: ['old'] });
    expect(named.code).toBe(3);
  });

  test('-n goes to that network', async () => {
    const { daemon, asked } = fakeDaemon({ running: [] });
    await stillwire(['status', '-n', 'lab'], daemon);
    expect(asked).toEqual([['connect', { network: 'lab' }]]);
  });
});

describe('checkpoint', () => {
  test('tells its phases on stderr and the result on stdout', async () => {
    const { daemon, asked } = fakeDaemon();
    const { code, stdout, stderr } = await stillwire(['checkpoint', 'one'], daemon);
    expect(code).toBe(0);
    expect(stderr).toBe('hold 0.1 ms\nsave 1.50 s\n');
    expect(stdout).toContain('checkpoint one: 23 frames in flight, not proven\n  a/nic0: its reason\n');
    expect(stdout).toContain('paused 41.3 ms');
    expect(asked.at(-1)).toEqual(['checkpoint', { name: 'one' }]);
  });

  test('passes every flag on; --quiet is quiet; --json is the report', async () => {
    const { daemon, asked } = fakeDaemon();
    const flags = ['--method', 'quiet', '--unready', 'keep', '--drain', '30', '--quiet-wait', '20'];
    flags.push('--require-proof', '--kill');
    const outcome = await stillwire(['checkpoint', ...flags, '--json', '--quiet'], daemon);
    expect(outcome.stderr).toBe('');
    expect(documentOf(outcome)).toMatchObject({
      schemaVersion: 1,
      inFlightFrames: 23,
      pauseMs: 41.3,
      proven: false,
    });
    expect(asked.at(-1)).toEqual([
      'checkpoint',
      {
        method: 'quiet',
        unready: 'keep',
        bounds: { drainMs: 30, quietMs: 20 },
        requireProof: true,
        kill: true,
      },
    ]);
  });

  test.each([
    ['NOT_QUIET', 6],
    ['NETWORK_BUSY', 5],
    ['GUEST_DIED', 1],
    ['DAEMON_UNREACHABLE', 3],
  ] as const)('%s is exit code %i', async (errorCode, exit) => {
    const checkpoint = (): Promise<never> =>
      Promise.reject(new StillwireError(errorCode, 'because', { guest: 'a' }));
    const outcome = await stillwire(['checkpoint', '--json'], fakeDaemon({ client: { checkpoint } }).daemon);
    expect(outcome.code).toBe(exit);
    expect(outcome.stdout).toBe('');
    expect(errorOf(outcome)).toMatchObject({ code: errorCode, message: 'because', details: { guest: 'a' } });
  });

  test('--timeout aborts it, waits for the undoing, and is exit code 6', async () => {
    let undone = false;
    const checkpoint = async (_: unknown, __: unknown, signal?: AbortSignal): Promise<never> => {
      await new Promise((resolve) => signal?.addEventListener('abort', resolve));
      await sleep(20);
      undone = true;
      throw new StillwireError('INTERRUPTED', 'aborted');
    };
    const { daemon } = fakeDaemon({ client: { checkpoint } });
    const outcome = await stillwire(['checkpoint', '--timeout', '30ms', '--json'], daemon);
    expect(outcome.code).toBe(6);
    expect(errorOf(outcome).code).toBe('TIMED_OUT');
    expect(undone).toBe(true);
  });
});

describe('restart and restore', () => {
  test('hand the place of the image to a daemon', async () => {
    const path = await commitSample(join(state, 'lab'));
    const { daemon, asked } = fakeDaemon();
    const args = ['restart', 'one', '--as', 'copy', '--force-disks', '--state', state];
    const { code, stdout, stderr } = await stillwire(args, daemon);
    expect(code).toBe(0);
    expect(stderr).toBe('load 12.0 ms\n');
    expect(stdout).toContain('after 1.23 s: 3 frames reinjected');
    expect(asked).toMatchObject([
      ['start', { kind: 'restart', directory: path, state, as: 'copy', forceDisks: true }],
    ]);
    const { startedAtMs } = asked[0]![1] as { startedAtMs: number };
    expect(Math.abs(Date.now() - startedAtMs)).toBeLessThan(600_000);
  });

  test('restore tells how to release', async () => {
    await commitSample(join(state, 'lab'));
    const { daemon, asked } = fakeDaemon();
    const outcome = await stillwire(['restore', 'one', '--lease', '9s', '--state', state], daemon);
    expect(outcome.stdout).toContain('stillwire release -n lab');
    expect(asked).toMatchObject([['start', { kind: 'restore', leaseMs: 9000 }]]);
  });

  test("a failed start carries the daemon's error", async () => {
    await commitSample(join(state, 'lab'));
    const failure = new StillwireError('MACHINE_CHANGED', 'QEMU was 7, is 8');
    const { daemon } = fakeDaemon({ failure });
    expect(await stillwire(['restart', 'one', '--state', state], daemon)).toMatchObject({
      code: 5,
      stdout: '',
    });
  });
});

describe('up', () => {
  const file = async (text: string): Promise<string> => {
    const path = join(state, 'lab.yaml');
    await writeFile(path, text);
    return path;
  };
  const SOUND =
    'segments: {lan: {}}\nports: {box: {segment: lan, kind: device, device: eth0}}\ncheckpoints: ./own\n';

  test('in the foreground it tells that it is up, on stderr, and ends with the network', async () => {
    const { daemon, asked } = fakeDaemon();
    const { code, stdout, stderr } = await stillwire(['up', await file(SOUND), '--state', '/s'], daemon);
    expect(code).toBe(0);
    expect(stdout).toBe('');
    expect(stderr).toContain('lab is up: 1 guest, 1 port\n');
    expect(asked).toMatchObject([
      ['start', { kind: 'up', state: '/s', checkpoints: join(state, 'own'), definition: { network: 'lab' } }],
      ['ended'],
    ]);
  });

  test('--detach --json', async () => {
    const { daemon } = fakeDaemon();
    const outcome = await stillwire(['up', await file(SOUND), '--detach', '--json'], daemon);
    expect(documentOf(outcome)).toMatchObject({ schemaVersion: 1, network: 'lab', guests: [{ pid: 4711 }] });
  });

  test('--dry-run needs no daemon', async () => {
    const { code, stdout } = await stillwire(['up', await file(SOUND), '--dry-run']);
    expect(code).toBe(0);
    expect(stdout).toContain('network lab');
    const outcome = await stillwire(['up', await file(SOUND), '--dry-run', '--json']);
    expect(documentOf(outcome)).toMatchObject({ schemaVersion: 1, definition: { network: 'lab' } });
  });

  test('faults of the file have line and column, and nothing is started', async () => {
    const { daemon, asked } = fakeDaemon();
    const path = await file('segments: {lan: {}}\nguests:\n  a: {kernal: /x}\n');
    const { code, stderr } = await stillwire(['up', path], daemon);
    expect(code).toBe(2);
    expect(stderr).toMatch(/lab\.yaml:3:7: .*kernal/);
    expect(asked).toEqual([]);
  });
});

describe('down', () => {
  test('ends what runs', async () => {
    const { daemon, asked } = fakeDaemon();
    expect((await stillwire(['down'], daemon)).stdout).toBe('lab is down\n');
    expect(asked.at(-1)).toEqual(['down']);
  });

  test.each([[[]], [['-n', 'old']]])('removes what a dead daemon left %j', async (choice) => {
    const { daemon, asked } = fakeDaemon({ running: [{ network: 'old', state: 'stale' }] });
    expect((await stillwire(['down', ...choice], daemon)).code).toBe(0);
    expect(asked).toEqual([['removeStale', 'old']]);
  });

  test('among several, which is left to the client to refuse', async () => {
    const running = [
      { network: 'x', state: 'running' },
      { network: 'y', state: 'stale' },
    ] as const;
    const { daemon, asked } = fakeDaemon({ running });
    await stillwire(['down'], daemon);
    expect(asked[0]).toEqual(['connect', {}]);
  });
});

describe('hold', () => {
  const node = (program: string): string[] => ['--', process.execPath, '-e', program];

  test('runs the command in a hold that it can mark, renews, releases, exits as the command did', async () => {
    const { daemon, asked } = fakeDaemon({ leaseMs: 60 });
    const out = join(state, 'environment');
    const program = `require('fs').writeFileSync(${JSON.stringify(out)}, process.env.STILLWIRE_NETWORK + ' ' + process.env.STILLWIRE_HOLD); setTimeout(() => process.exit(9), 150)`;
    const { code, stdout, stderr } = await stillwire(['hold', '--lease', '60ms', ...node(program)], daemon);
    expect(code).toBe(9);
    expect(stdout).toBe('');
    expect(stderr).toContain('lab is held');
    expect(await readFile(out, 'utf8')).toBe('lab the-token');
    expect(asked[1]).toEqual(['hold', { leaseMs: 60 }]);
    expect(asked.filter(([what]) => what === 'renew').length).toBeGreaterThanOrEqual(3);
    expect(asked).toContainEqual(['renew', 'the-token', 60]);
    expect(asked.at(-1)).toEqual(['release', 'the-token']);
  });

  test('a command ended by a signal is 128 and its number', async () => {
    const outcome = await stillwire(
      ['hold', ...node("process.kill(process.pid, 'SIGKILL')")],
      fakeDaemon().daemon,
    );
    expect(outcome.code).toBe(137);
  });

  test('a command that is not there releases too', async () => {
    const { daemon, asked } = fakeDaemon();
    const { code, stderr } = await stillwire(['hold', '--', join(state, 'no-such-program')], daemon);
    expect(code).toBe(1);
    expect(stderr).toContain('no-such-program');
    expect(asked.at(-1)).toEqual(['release', 'the-token']);
  });

  test('a lost hold fails a command that knew nothing of it', async () => {
    const renew = (): Promise<never> =>
      Promise.reject(new StillwireError('HOLD_EXPIRED', 'the lease ran out'));
    const { daemon } = fakeDaemon({ leaseMs: 30, client: { renew } });
    expect((await stillwire(['hold', ...node('setTimeout(() => {}, 150)')], daemon)).code).toBe(5);
    expect((await stillwire(['hold', ...node('setTimeout(() => process.exit(3), 150)')], daemon)).code).toBe(
      3,
    );
  });

  test('--timeout ends the command, releases, and is exit code 6', async () => {
    const { daemon, asked } = fakeDaemon();
    const began = performance.now();
    const { code } = await stillwire(
      ['hold', '--timeout', '200ms', ...node('setTimeout(() => {}, 60000)')],
      daemon,
    );
    expect(code).toBe(6);
    expect(performance.now() - began).toBeLessThan(20_000);
    expect(asked.at(-1)).toEqual(['release', 'the-token']);
  });

  test('mark finds the hold by the environment; release takes whatever hold lasts', async () => {
    vi.stubEnv('STILLWIRE_HOLD', 'the-token');
    vi.stubEnv('STILLWIRE_NETWORK', 'lab');
    const { daemon, asked } = fakeDaemon();
    expect((await stillwire(['mark', 'now'], daemon)).stdout).toContain('mark one: 23 frames');
    expect(asked).toEqual([
      ['connect', { network: 'lab' }],
      ['mark', 'the-token', 'now'],
    ]);
    const outcome = await stillwire(['release', '--json'], daemon);
    expect(documentOf(outcome)).toEqual({ schemaVersion: 1, network: 'lab', heldMs: 50, releaseMs: null });
    expect(asked.at(-1)).toEqual(['release', 'current']);
  });
});

describe('capture', () => {
  async function* packets(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    yield Buffer.from('first');
    yield Buffer.from('second');
    await sleep(60_000, undefined, { signal });
  }
  const endless = { client: { capture: packets } };

  test('writes what comes, until the network ends', async () => {
    async function* capture(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(Buffer.from('all'));
    }
    const { bytes, code } = await stillwire(
      ['capture', '-w', '-'],
      fakeDaemon({ client: { capture } }).daemon,
    );
    expect(code).toBe(0);
    expect(bytes.toString()).toBe('all');
  });

  test('an interrupt is its usual end', async () => {
    const file = join(state, 'live.pcapng');
    const running = stillwire(['capture', '-w', file, '--json'], fakeDaemon(endless).daemon);
    await vi.waitFor(async () => expect(await readFile(file, 'utf8')).toBe('firstsecond'));
    process.emit('SIGINT', 'SIGINT');
    const outcome = await running;
    expect(outcome.code).toBe(0);
    expect(documentOf(outcome)).toEqual({ schemaVersion: 1, file, bytes: 11 });
  });

  test('--timeout is not', async () => {
    const args = ['capture', '-w', join(state, 'x'), '--timeout', '50ms'];
    expect((await stillwire(args, fakeDaemon(endless).daemon)).code).toBe(6);
  });
});

test('the directory that ./stillwire.yaml names is looked in first', async () => {
  await mkdir(join(state, 'here'));
  const text =
    'network: lab\nsegments: {lan: {}}\nports: {box: {segment: lan, kind: device, device: eth0}}\ncheckpoints: ./own\n';
  await writeFile(join(state, 'here/stillwire.yaml'), text);
  const path = await commitSample(join(state, 'here/own'), 'one');
  await commitSample(join(state, 'store/lab'), 'one');
  const before = process.cwd();
  process.chdir(join(state, 'here'));
  try {
    const { daemon, asked } = fakeDaemon();
    const store = ['--state', join(state, 'store')];
    await stillwire(['restart', 'one', ...store], daemon);
    expect(asked).toMatchObject([['start', { directory: path, checkpoints: join(state, 'here/own') }]]);
    expect(documentOf(await stillwire(['list', '--json', ...store]))['checkpoints']).toHaveLength(2);
    const other = await stillwire(['show', 'one', '-n', 'other', ...store]);
    expect(other.code).toBe(4);
  } finally {
    process.chdir(before);
  }
});
