/**
 * The daemon with guests under DMTCP, where there is no DMTCP: stand-ins for its programs, which have the real plugin in
 * real processes with real TAPs and sockets, go through every order of events, also the wrong ones. The guests send and
 * count numbered frames all the while; what they lost or saw twice they tell.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { NetworkDefinition, NicTransport } from '../../src/definition/index.js';

const built = new URL('../../dist/daemon/index.js', import.meta.url).href;
const { DaemonClient, launchDaemon, removeStale, runningNetworks } = (await import(
  built
)) as typeof import('../../src/daemon/index.js');

const scratch = mkdtempSync(join(tmpdir(), 'swtc-'));
const run = join(scratch, 'run');
const path = process.env['PATH'] ?? '';
const program = (name: string): string => fileURLToPath(new URL(`programs/${name}`, import.meta.url));
const NETWORK = 'swtc';

beforeAll(() => {
  process.env['STILLWIRE_RUN'] = run;
  process.env['STILLWIRE_STATE'] = join(scratch, 'state');
  process.env['STILLWIRE_CACHE'] = join(scratch, 'cache');
  process.env['PATH'] = `${scratch}${delimiter}${path}`;
  const guest = join(scratch, 'guest');
  const strict = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-rdynamic'];
  execFileSync('cc', [...strict, '-o', guest, program('dmtcp-guest.c'), '-ldl', '-lpthread'], {
    stdio: 'pipe',
  });
  for (const name of ['dmtcp_launch', 'dmtcp_restart']) symlinkSync(guest, join(scratch, name));
  for (const role of ['coordinator', 'command']) {
    const words = `exec '${process.execPath}' '${program('dmtcp-coordinator.mjs')}' ${role} "$@"`;
    writeFileSync(join(scratch, `dmtcp_${role}`), `#!/bin/sh\n${words}\n`);
    chmodSync(join(scratch, `dmtcp_${role}`), 0o755);
  }
});

afterEach(async () => {
  for (const guest of ['a', 'b']) rmSync(faultFile(guest), { force: true });
  for (const { network, state } of await runningNetworks()) {
    if (state === 'stale') await removeStale(network);
    else await (await DaemonClient.connect({ network })).down();
  }
});

afterAll(() => {
  process.env['PATH'] = path;
  rmSync(scratch, { recursive: true, force: true });
});

const reportFile = (guest: string): string => join(scratch, `${guest}.report`);
const faultFile = (guest: string): string => join(scratch, `${guest}.fault`);
/** From now on the guest does this at that event. */
const plant = (guest: string, fault: string): void => writeFileSync(faultFile(guest), `${fault}\n`);
const heal = (guest: string): void => rmSync(faultFile(guest));

interface Count {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly doubled: number;
}
const count = (guest: string): Count => JSON.parse(readFileSync(reportFile(guest), 'utf8')) as Count;
const FAULTLESS = { lost: 0, doubled: 0 };

function definition(transport: NicTransport): NetworkDefinition {
  const guest = (name: string, number: number) => ({
    qemu: '/bin/true',
    accel: 'tcg' as const,
    machine: 'q35',
    cpus: 1,
    memory: 64,
    args: ['-number', String(number), '-report', reportFile(name), '-fault', faultFile(name)],
    nics: [
      {
        name: 'nic0',
        segment: 'lan',
        mac: `52:54:00:77:00:0${number}`,
        mtu: 1500,
        model: 'virtio-net-pci',
        transport,
      },
    ],
    dmtcp: { plugins: [], gzip: false, forked: false, unreachable: 'go' as const },
  });
  return {
    network: NETWORK,
    segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
    guests: { a: guest('a', 1), b: guest('b', 2) },
    ports: {},
  };
}

type Client = Awaited<ReturnType<typeof DaemonClient.connect>>;

async function up(transport: NicTransport = 'tap'): Promise<Client> {
  for (const guest of ['a', 'b']) rmSync(reportFile(guest), { force: true });
  await launchDaemon({ kind: 'up', definition: definition(transport) });
  const client = await DaemonClient.connect();
  await flows();
  return client;
}

async function until(what: () => boolean | Promise<boolean>, words: string): Promise<void> {
  const end = Date.now() + 30_000;
  while (!(await what())) {
    if (Date.now() > end) throw new Error(`it did not come to pass: ${words}`);
    await delay(10);
  }
}

/** Frames come through, both ways, from now on. */
async function flows(): Promise<void> {
  const guests = ['a', 'b'];
  await until(() => guests.every((guest) => existsSync(reportFile(guest))), 'guests tell');
  const before = guests.map((guest) => count(guest).received);
  await until(
    () => guests.every((guest, i) => count(guest).received > before[i]! + 20),
    'frames come through',
  );
}

/** All that was sent has come, once: what the guests have counted since they were started. */
async function expectWhole(): Promise<void> {
  await flows();
  for (const guest of ['a', 'b']) expect(count(guest)).toMatchObject(FAULTLESS);
}

interface Failure {
  readonly code: string;
  readonly message: string;
}
const failure = (what: Promise<unknown>): Promise<Failure> =>
  what.then(
    () => ({ code: 'none', message: 'no error' }),
    (error: unknown) => error as Failure,
  );

const pidOf = async (client: Client, guest: string): Promise<number> =>
  (await client.status()).guests.find(({ name }) => name === guest)!.pid!;

const standsStill = (pid: number): boolean =>
  /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

const daemonPid = (): number => {
  const { daemon } = JSON.parse(readFileSync(join(run, NETWORK, 'state.json'), 'utf8')) as {
    daemon: { pid: number };
  };
  return daemon.pid;
};

const askedByOthers = (): string => {
  const port = readFileSync(join(run, NETWORK, 'dmtcp.port'), 'utf8').trim();
  const where = ['--coord-host', '127.0.0.1', '--coord-port', port];
  return execFileSync('dmtcp_command', [...where, '--checkpoint'], { encoding: 'utf8' });
};

const checkpoints = (): string[] => readdirSync(join(scratch, 'state', NETWORK));

test.each(['tap', 'dgram'] as const)('%s: in place, killed, restarted, and as another', async (transport) => {
  const client = await up(transport);
  for (let round = 0; round < 3; round++) {
    const report = await client.checkpoint({ name: `${transport}${round}` });
    expect(report).toMatchObject({ proven: true, killed: false });
    await expectWhole();
  }
  const report = await client.checkpoint({ name: `${transport}-killed`, kill: true });
  expect(report).toMatchObject({ proven: true, killed: true });
  const { sent } = count('a');
  await launchDaemon({ kind: 'restart', directory: report.path });
  await expectWhole();
  expect(count('a').sent).toBeGreaterThan(sent);
  const again = await (await DaemonClient.connect()).checkpoint({ name: `${transport}-again`, kill: true });
  await launchDaemon({ kind: 'restart', directory: again.path, as: 'swtc-copy' });
  await expectWhole();
});

test('a checkpoint that somebody else begins is one of the network, and restarts', async () => {
  const client = await up();
  const isTheirs = (name: string): boolean => name.startsWith('dmtcp-');
  expect(checkpoints().filter(isTheirs)).toEqual([]);
  askedByOthers();
  await until(() => checkpoints().some(isTheirs), 'a checkpoint of the network');
  await expectWhole();
  await client.down();
  const directory = join(scratch, 'state', NETWORK, checkpoints().find(isTheirs)!);
  await launchDaemon({ kind: 'restart', directory });
  await expectWhole();
});

test('one guest that DMTCP does not reach: no checkpoint, it is named, and the network flows again', async () => {
  const client = await up();
  plant('b', 'PRESUSPEND mute');
  const failed = await failure(client.checkpoint({ name: 'partial' }));
  expect(failed, failed.message).toMatchObject({ code: 'GUEST_FAILED' });
  expect(failed.message).toContain('did not reach b');
  expect((await client.status()).held).toBe(false);
  await expectWhole();
  heal('b');
  expect(await client.checkpoint({ name: 'after-partial' })).toMatchObject({ proven: true });
  await expectWhole();
  expect(checkpoints()).not.toContain('partial');
}, 60_000); // it is waited for for half a minute

/** A checkpoint that its client gives up while `b` stands still at this event; then `b` goes on. */
async function giveUpAt(event: string, client: Client): Promise<void> {
  plant('b', `${event} stop`);
  const pid = await pidOf(client, 'b');
  const impatience = new AbortController();
  const taken = failure(client.checkpoint({ name: 'given-up' }, undefined, impatience.signal));
  await until(() => standsStill(pid), 'b stands still');
  heal('b');
  impatience.abort();
  expect((await taken).code).not.toBe('none');
  await until(async () => !(await client.status()).held, 'the hold is over');
  process.kill(pid, 'SIGCONT');
}

test.each(['PRESUSPEND', 'PRECHECKPOINT'])(
  'one guest that stands still at %s: whoever gives up sets the network free; it comes late, and is let through',
  async (event) => {
    const client = await up();
    await giveUpAt(event, client);
    await expectWhole();
    expect(checkpoints()).not.toContain('given-up');
    expect(await client.checkpoint({ name: `late-${event}` })).toMatchObject({ proven: true });
    await expectWhole();
  },
);

test.each(['PRESUSPEND', 'PRECHECKPOINT', 'WRITE'])(
  'a guest that dies at %s: no checkpoint, it is named, nothing is held',
  async (event) => {
    const client = await up();
    plant('b', `${event} die`);
    const failed = await failure(client.checkpoint({ name: 'dead' }));
    expect(failed.message).toMatch(/guest b|\bb\b/);
    const { held, guests } = await client.status();
    expect(held).toBe(false);
    expect(guests.map(({ name, state }) => [name, state])).toEqual([
      ['a', 'running'],
      ['b', 'ended'],
    ]);
    const { sent } = count('a');
    await until(() => count('a').sent > sent, 'the other goes on');
    expect(checkpoints()).not.toContain('dead');
  },
);

/** What the daemon answers somebody who says this on the socket of the plugins, until it hangs up. */
const said = (words: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let heard = '';
    const socket = connect(join(run, NETWORK, 'dmtcp.sock'), () => socket.write(words));
    socket.setEncoding('utf8').on('data', (text: string) => (heard += text));
    socket.on('close', () => resolve(heard)).on('error', reject);
  });

/** What a stranger may say, and the answer to it; none where it is hung up on. */
const STRANGERS: readonly (readonly [string, RegExp])[] = [
  ['PRESUSPEND version=1 guest=c pid=1 nics=1\n', /^REFUSE reason=no%20guest%20c%20/],
  ['PRESUSPEND version=1 guest=a pid=1 nics=1\n', /another%20process/],
  ['PRESUSPEND version=2 guest=a pid=1 nics=1\n', /version%202/],
  ['RESTART version=1 guest=a pid=1 checkpoint=none nics=1\n', /runs%20already/],
  ['RESUME\n', /comes%20after/],
  ['PRECHECKPOINT\n', /comes%20after/],
  ['ATTACHED nic=0\n', /comes%20after/],
  ['PRECHECKPOINT\nRESUME\n', /^$/],
  ['\n', /^$/],
  ['\u0000\u0001\u00ff\n', /^$/],
  ['x'.repeat(5000), /^$/],
];

test('strangers at the socket are refused or hung up on, and a checkpoint does not feel them', async () => {
  const client = await up();
  for (const [words, answer] of STRANGERS) expect(await said(words), words).toMatch(answer);
  let isTaken = false;
  const taken = client.checkpoint({ name: 'among-strangers' }).finally(() => (isTaken = true));
  for (let i = 0; !isTaken; i++) await said(STRANGERS[i % STRANGERS.length]![0]).catch(() => undefined);
  expect(await taken).toMatchObject({ proven: true });
  await expectWhole();
});

test('without a daemon the guests go on, and their images restart nowhere', async () => {
  const client = await up();
  const coordinator = readFileSync(join(run, NETWORK, 'dmtcp.port'), 'utf8').trim();
  process.kill(daemonPid(), 'SIGKILL');
  await until(
    async () => (await failure(client.status())).code === 'DAEMON_UNREACHABLE',
    'the daemon is gone',
  );
  askedByOthers();
  const image = join(run, NETWORK, 'a.images', 'ckpt_standin.dmtcp');
  await until(() => existsSync(image), 'DMTCP has written its image');
  const { sent } = count('a');
  await until(() => count('a').sent > sent, 'the guest goes on');
  expect(readFileSync(join(run, NETWORK, 'a.log'), 'utf8')).toContain('no daemon at');
  const where = ['--coord-host', '127.0.0.1', '--coord-port', coordinator, '--ckptdir', scratch];
  const restarted = spawnSync('dmtcp_restart', [...where, image], { encoding: 'utf8' });
  expect(restarted.status).toBe(98);
  expect(restarted.stderr).toContain('cannot be restarted from checkpoint none');
});

/** Processes that have these words in their command line. */
const processesWith = (words: string): number[] =>
  readdirSync('/proc').flatMap((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(words)
        ? [Number(pid)]
        : [];
    } catch {
      return []; // it has just ended
    }
  });

test('the daemon is killed where guests wait for it: `up` refuses, `down` ends guests and coordinator', async () => {
  const client = await up();
  plant('b', 'PRECHECKPOINT stop');
  const pids = [await pidOf(client, 'a'), await pidOf(client, 'b')];
  const coordinator = processesWith(join(run, NETWORK, 'dmtcp.port'));
  expect(coordinator).not.toEqual([]);
  const taken = failure(client.checkpoint({ name: 'orphaned' }));
  await until(() => standsStill(pids[1]!), 'b stands still, and a waits for it');
  process.kill(daemonPid(), 'SIGKILL');
  expect((await taken).code).not.toBe('none');
  const refused = await failure(launchDaemon({ kind: 'up', definition: definition('tap') }));
  expect(refused.message).toMatch(/guest a runs under DMTCP, which cannot be taken up again/);
  for (const pid of pids) expect(existsSync(`/proc/${pid}`)).toBe(true);
  await removeStale(NETWORK);
  for (const pid of [...pids, ...coordinator])
    await until(() => !existsSync(`/proc/${pid}`), `${pid} has ended`);
  expect(existsSync(join(run, NETWORK))).toBe(false);
  expect(checkpoints()).not.toContain('orphaned');
});

/** Puts another image in the place of a guest's, so that all hashes agree: what a careless hand might do. */
function exchangeImage(directory: string, guest: string, image: Buffer): void {
  const hash = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');
  const manifest = join(directory, 'manifest.json');
  const before = readFileSync(manifest, 'utf8');
  const { guests } = JSON.parse(before) as { guests: Record<string, { state: string }> };
  const state = join(directory, guests[guest]!.state);
  expect(image).toHaveLength(statSync(state).size);
  const after = before.replace(hash(readFileSync(state)), hash(image));
  writeFileSync(state, image);
  writeFileSync(manifest, after);
  const sums = join(directory, 'manifest.sha256');
  writeFileSync(sums, readFileSync(sums, 'utf8').replace(hash(before), hash(after)));
}

test('a hold that ends between PRESUSPEND and PRECHECKPOINT: its images are of no checkpoint, and none restarts', async () => {
  const client = await up();
  await giveUpAt('PRECHECKPOINT', client);
  const image = join(run, NETWORK, 'a.images', 'ckpt_standin.dmtcp');
  await until(() => existsSync(image), 'DMTCP has written its image');
  const orphan = readFileSync(image);
  await expectWhole();
  const { path: directory } = await client.checkpoint({ name: 'taken', kill: true });
  exchangeImage(directory, 'a', orphan);
  const refused = await failure(launchDaemon({ kind: 'restart', directory }));
  expect(refused).toMatchObject({ code: 'IMAGE_INVALID' });
  expect(refused.message).toMatch(/guest a .*its DMTCP image is of no checkpoint, not of/);
});
