/** The daemon on a real network of device ports, as a process of its own: started, asked, killed, cleaned up after. */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { StartEvent } from '../../src/daemon/index.js';
import type { NetworkDefinition } from '../../src/definition/index.js';

// From the build: a worker thread and a daemon's process need files that Node can run.
const built = new URL('../../dist/daemon/index.js', import.meta.url).href;
const { DaemonClient, launchDaemon, removeStale, runningNetworks, staleStatus } = (await import(
  built
)) as typeof import('../../src/daemon/index.js');

const NETWORK = 'swtd';
const ends = ['swtd-x', 'swtd-y'];
const scratch = mkdtempSync(join(tmpdir(), 'swtd-'));
const run = join(scratch, 'run');
process.env['STILLWIRE_RUN'] = run;
process.env['STILLWIRE_STATE'] = join(scratch, 'state');

const port = (netns: string, device: string, host: number) => ({
  kind: 'device' as const,
  segment: 'lan',
  device,
  netns,
  mac: `52:54:00:00:dd:0${host}`,
  addresses: [`10.78.0.${host}/24`],
  mtu: 1500,
});
const definition: NetworkDefinition = {
  network: NETWORK,
  segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
  guests: {},
  ports: { x: port('swtd-x', 'swx', 1), y: port('swtd-y', 'swy', 2) },
};
const up = { kind: 'up', definition } as const;

const execute = promisify(execFile);
/** Makes the host behind `x` ask for an address that nobody has: one broadcast frame, seconds later another. */
const speak = (): Promise<unknown> =>
  execute('ip', [
    ...['netns', 'exec', 'swtd-x', process.execPath, '-e'],
    "const s = require('dgram').createSocket('udp4'); s.send('x', 9, '10.78.0.99', () => s.close())",
  ]);

const code = (what: Promise<unknown>): Promise<unknown> =>
  what.then(
    () => 'no error',
    (error: unknown) => (error as { code?: string }).code,
  );

const namespaces = (): string => execFileSync('ip', ['netns']).toString();
const daemonPid = (): number =>
  (JSON.parse(readFileSync(join(run, NETWORK, 'state.json'), 'utf8')) as { daemon: { pid: number } }).daemon
    .pid;

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await what())) {
    if (Date.now() > end) throw new Error('it did not come to pass');
    await delay(10);
  }
}

/** No directory, lock, socket, namespace or device. */
function expectNothing(): void {
  expect(existsSync(run) ? readdirSync(run) : []).toEqual([]);
  expect(namespaces()).not.toContain('stillwire-swtd');
  for (const end of ends) {
    expect(execFileSync('ip', ['-n', end, '-o', 'link']).toString()).not.toMatch(/sw[xy]/);
  }
}

beforeAll(() => {
  for (const end of ends) execFileSync('ip', ['netns', 'add', end]);
});

afterEach(async () => {
  for (const { network, state } of await runningNetworks()) {
    if (state === 'stale') await removeStale(network);
    else await (await DaemonClient.connect({ network })).down();
  }
});

afterAll(() => {
  for (const end of ends) execFileSync('ip', ['netns', 'delete', end]);
  rmSync(scratch, { recursive: true, force: true });
});

describe('a running daemon', () => {
  it('answers on a socket of its group, and refuses a second of its name', async () => {
    const steps: string[] = [];
    const onEvent = ({ event }: StartEvent): void => void steps.push(event);
    const report = await launchDaemon(up, { onEvent });
    expect(report).toMatchObject({ network: NETWORK, held: false, guests: [] });
    expect(steps).toContain('progress');
    expect(statSync(run).mode & 0o777).toBe(0o755);
    expect(statSync(join(run, `${NETWORK}.sock`)).mode & 0o777).toBe(0o660);
    expect(statSync(join(run, NETWORK)).mode & 0o777).toBe(0o700);

    expect(await code(launchDaemon(up))).toBe('NETWORK_EXISTS');
    const client = await DaemonClient.connect();
    expect(client.network).toBe(NETWORK);
    expect((await client.status()).ports.map(({ port: id }) => id)).toEqual(['x', 'y']);
    await client.down();
    expectNothing();
    expect(await code(DaemonClient.connect())).toBe('NETWORK_NOT_FOUND');
    expect(await code(client.status())).toBe('DAEMON_UNREACHABLE');
  });

  it('keeps frames while it is held, and delivers them at the release', async () => {
    await launchDaemon(up);
    const client = await DaemonClient.connect();
    const toY = async () => (await client.status()).ports.find(({ port: id }) => id === 'y')!;
    const { token, drainMs } = await client.hold({ leaseMs: 20_000 });
    expect(drainMs).toBeGreaterThan(0);
    const before = await toY();
    await speak();
    await until(async () => (await toY()).held > 0);
    expect((await toY()).out.frames).toBe(before.out.frames);
    expect(await code(client.hold())).toBe('NETWORK_HELD');
    expect(await code(client.checkpoint({}))).toBe('NETWORK_HELD');

    const image = await client.mark(token, 'marked');
    expect(image.inFlightFrames).toBeGreaterThan(0);
    expect(image.proven).toBe(true);
    const { heldMs, releaseMs } = await client.release(token);
    expect(heldMs).toBeGreaterThan(0);
    expect(releaseMs).not.toBeNull();
    expect((await toY()).held).toBe(0);
    expect((await toY()).out.frames).toBeGreaterThan(before.out.frames);
    expect(await code(client.release('current'))).toBe('HOLD_UNKNOWN');
  });

  it('flows again when a lease runs out, and tells the owner', async () => {
    await launchDaemon(up);
    const client = await DaemonClient.connect();
    const { token } = await client.hold({ leaseMs: 300 });
    await client.renew(token, 600);
    await delay(400);
    expect((await client.status()).held).toBe(true);
    await until(async () => !(await client.status()).held);
    expect(await code(client.renew(token))).toBe('HOLD_EXPIRED');
    expect(await code(client.mark(token, 'late'))).toBe('HOLD_EXPIRED');
    expect(await code(client.release(token))).toBe('HOLD_EXPIRED');
  });

  it('streams what passes, to one watcher at a time', async () => {
    await launchDaemon(up);
    const client = await DaemonClient.connect();
    const watching = new AbortController();
    const chunks: Uint8Array[] = [];
    const capture = (async () => {
      for await (const chunk of client.capture(watching.signal)) chunks.push(chunk);
    })();
    await until(() => chunks.length > 0);
    const second = client.capture(AbortSignal.timeout(5_000));
    expect(await code(second.next())).toBe('NETWORK_BUSY');
    const header = Buffer.concat(chunks).length;
    await speak();
    await until(() => Buffer.concat(chunks).length > header);
    watching.abort();
    await capture;
    // The place is free again.
    await until(async () => {
      const another = client.capture(AbortSignal.timeout(5_000));
      const first = await code(another.next());
      await another.return(undefined);
      return first === 'no error';
    });
  });
});

describe('checkpoints', () => {
  it('end the daemon with kill; the image restarts under another name', async () => {
    await launchDaemon(up);
    const pid = daemonPid();
    const client = await DaemonClient.connect();
    const phases: string[] = [];
    const report = await client.checkpoint({ name: 'k', kill: true }, ({ phase }) => phases.push(phase));
    expect(report).toMatchObject({ name: 'k', proven: true, killed: true });
    expect(phases).toContain('commit');
    expectNothing();
    await until(() => !existsSync(`/proc/${pid}`));

    const restarted = await launchDaemon({ kind: 'restart', directory: report.path, as: 'swtd-copy' });
    expect(restarted).toMatchObject({ name: 'k', network: 'swtd-copy', guests: [] });
    expect(namespaces()).toContain('stillwire-swtd-copy');
    expect((await DaemonClient.connect()).network).toBe('swtd-copy');
  });

  it('are restored held, under a token that releases', async () => {
    await launchDaemon(up);
    const client = await DaemonClient.connect();
    const { token } = await client.hold({ leaseMs: 20_000 });
    await speak();
    await until(async () => (await client.status()).ports.some(({ held }) => held > 0));
    const { path, inFlightFrames } = await client.mark(token, 'r');
    await client.down();

    const report = await launchDaemon({ kind: 'restore', directory: path, leaseMs: 20_000 });
    expect(report).toMatchObject({ reinjectedFrames: inFlightFrames, leaseMs: 20_000 });
    const again = await DaemonClient.connect();
    expect((await again.status()).held).toBe(true);
    await again.release(report.token);
    const sent = (await again.status()).ports.reduce((sum, { out }) => sum + out.frames, 0);
    expect(sent).toBeGreaterThanOrEqual(inFlightFrames);
  });
});

describe('nothing is left', () => {
  it('after SIGTERM, also in the middle of a hold', async () => {
    await launchDaemon(up);
    await (await DaemonClient.connect()).hold({ leaseMs: 20_000 });
    process.kill(daemonPid(), 'SIGTERM');
    await until(() => !existsSync(join(run, `${NETWORK}.lock`)));
    expectNothing();
  });

  it('after a start that fails', async () => {
    const ports = { ...definition.ports, z: port('swtd-none', 'swz', 3) };
    expect(await code(launchDaemon({ kind: 'up', definition: { ...definition, ports } }))).toBe('SYSCALL');
    expectNothing();
  });

  it('after a start that is aborted', async () => {
    const abort = new AbortController();
    const start = launchDaemon(up, { signal: abort.signal, onEvent: () => abort.abort() });
    expect(await code(start)).toBe('INTERRUPTED');
    expectNothing();
  });

  it('after its launcher was killed before it was ready', async () => {
    const script = `import { launchDaemon } from ${JSON.stringify(built)};
      await launchDaemon(${JSON.stringify(up)}, { onEvent: () => process.kill(process.pid, 'SIGKILL') });`;
    const launcher = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' });
    await until(() => launcher.signalCode === 'SIGKILL');
    await until(() => existsSync(run) && readdirSync(run).length === 0);
    expectNothing();
  });
});

describe('after a crash', () => {
  const others: ChildProcess[] = [];
  afterEach(() => {
    for (const other of others.splice(0)) other.kill('SIGKILL');
  });

  const crash = async (): Promise<void> => {
    process.kill(daemonPid(), 'SIGKILL');
    await until(async () => (await runningNetworks())[0]?.state === 'stale');
  };
  /** Launches with a fault of STILLWIRE_FAIL_AT. */
  const faulty = async (faults: string): Promise<unknown> => {
    process.env['STILLWIRE_FAIL_AT'] = faults;
    return code(launchDaemon(up)).finally(() => delete process.env['STILLWIRE_FAIL_AT']);
  };

  it('up takes the network up again: containers keep their interfaces, what was held is delivered once', async () => {
    const address = (): string =>
      execFileSync('ip', ['-n', 'swtd-x', '-4', '-o', 'address', 'show', 'swx']).toString();
    await launchDaemon(up);
    const before = address();
    const client = await DaemonClient.connect();
    await client.hold({ leaseMs: 20_000 });
    await speak();
    await until(async () => (await client.status()).ports.some(({ held }) => held > 0));
    await crash();
    expect(address()).toBe(before);
    expect(await staleStatus(NETWORK)).toMatchObject({
      guests: [],
      advice: expect.stringContaining('up FILE') as string,
    });

    // Whatever comes over the one that takes it up, the next can do it again.
    expect(await faulty('attach.open:term')).toBe('INTERRUPTED');
    expect(await faulty('attach.restore:error')).toBe('INTERNAL');
    expect(await faulty('attach.release:kill')).toBe('INTERNAL');
    expect(await code(DaemonClient.connect())).toBe('DAEMON_UNREACHABLE');
    expect(address()).toBe(before);

    const { reattached, ports } = await launchDaemon(up);
    expect(reattached).toMatchObject({ resumed: [], ended: [], removed: [] });
    expect(reattached!.deliveredFrames).toBeGreaterThan(0);
    expect(ports.map(({ port: id }) => id)).toEqual(['x', 'y']);
    expect(address()).toBe(before);
    await until(async () => (await (await DaemonClient.connect()).status()).ports[1]!.out.frames > 0);
    await (await DaemonClient.connect()).down();
    expectNothing();
  });

  it('down removes what outlived the daemon, and nobody else’s device', async () => {
    await launchDaemon(up);
    await crash();
    expect(execFileSync('ip', ['-n', 'swtd-y', '-o', 'link']).toString()).toContain('swy');
    execFileSync('ip', ['-n', 'swtd-x', 'link', 'delete', 'swx']);
    execFileSync('ip', ['-n', 'swtd-x', 'link', 'add', 'swx', 'type', 'veth', 'peer', 'own']); // somebody's own, of that name
    await removeStale(NETWORK);
    expect(execFileSync('ip', ['-n', 'swtd-x', '-o', 'link']).toString()).toContain('swx');
    execFileSync('ip', ['-n', 'swtd-x', 'link', 'delete', 'swx']);
    expectNothing();
  });

  it('a wrong fault is refused before anything is begun', async () => {
    expect(await faulty('attach.nowhere:kill')).toBe('USAGE');
    expectNothing();
  });

  it('the remains are told, refused as another network, and removed with the guests', async () => {
    await launchDaemon(up);
    const directory = join(run, NETWORK);
    // A guest started but not yet written down, and a stranger that has got the pid of one that was.
    const socket = JSON.stringify(join(directory, 'g.qmp'));
    const guest = spawn(process.execPath, ['-e', `require('net').createServer().listen(${socket})`]);
    const stranger = spawn('sleep', ['60']);
    others.push(guest, stranger);
    await until(() => existsSync(join(directory, 'g.qmp')));
    const statePath = join(directory, 'state.json');
    const state = JSON.parse(readFileSync(statePath, 'utf8')) as { guests: object[] };
    state.guests.push({ name: 's', pid: stranger.pid, startTime: '1' });
    writeFileSync(statePath, JSON.stringify(state));

    process.kill(daemonPid(), 'SIGKILL');
    await until(async () => (await runningNetworks())[0]?.state === 'stale');
    expect(await code(DaemonClient.connect())).toBe('DAEMON_UNREACHABLE');
    const other = { ...definition, ports: { x: definition.ports['x']! } };
    expect(await code(launchDaemon({ kind: 'up', definition: other }))).toBe('NETWORK_STALE');
    await removeStale(NETWORK);
    expectNothing();
    await until(() => guest.signalCode === 'SIGKILL');
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    expect(await code(removeStale(NETWORK))).toBe('NETWORK_NOT_FOUND');
  });

  it('a network that lives under another run directory is not taken for remains', async () => {
    await launchDaemon(up);
    process.env['STILLWIRE_RUN'] = join(scratch, 'elsewhere');
    try {
      expect(await code(launchDaemon(up))).toBe('NETWORK_EXISTS');
      expect(await code(removeStale(NETWORK))).toBe('NETWORK_EXISTS');
    } finally {
      process.env['STILLWIRE_RUN'] = run;
    }
    expect((await (await DaemonClient.connect()).status()).held).toBe(false);
  });
});
