/** Adopting a QEMU, and starting it again by its owner's command, with a script in QEMU's place. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LiveNetwork } from '../../src/checkpoint/live-network.js';
import type { NetworkDefinition } from '../../src/definition/definition.js';
import { adoptQemu } from '../../src/guest/adopt-qemu.js';
import { restartAdopted } from '../../src/guest/restart-adopted.js';
import type { Network } from '../../src/network/index.js';
import { startTimeOf } from '../../src/sys/pidfd.js';
import { QmpPeer, type Command } from './qmp-peer.js';

const peerPid = vi.hoisted(() => ({ is: undefined as number | undefined }));
vi.mock('../../src/sys/pidfd.js', async (original) => {
  const real = await original<typeof import('../../src/sys/pidfd.js')>();
  return {
    ...real,
    peerCredentials: (fd: number) => {
      const seen = real.peerCredentials(fd);
      return { ...seen, pid: peerPid.is ?? seen.pid };
    },
  };
});

type Answers = Readonly<Record<string, unknown>>;
const BANDWIDTH = 32 * 2 ** 20;
const ANSWERS: Answers = {
  'query-status': { status: 'paused', running: false },
  'query-migrate': {},
  'query-migrate-parameters': { 'max-bandwidth': BANDWIDTH },
  'query-migrate-capabilities': [{ capability: 'events', state: false }],
  'query-memory-size-summary': { 'base-memory': 2 ** 26 },
  'qom-list': [{ name: 'd', type: 'child<filter-dump>' }],
  'human-monitor-command': 'nic: index=0,type=nic\r\n \\ hub: index=0,type=tap,ifname=tapx\r\n',
};

let directory: string;
const { signal } = new AbortController();
const closers: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'adopt-'));
});
afterEach(async () => {
  peerPid.is = undefined;
  for (const close of closers.splice(0)) await close();
  await rm(directory, { recursive: true, force: true });
});

describe('judged first, and given back as it was', () => {
  /** This very process stands for QEMU. */
  async function adopt(
    odd: Answers,
    nics: { name: string; segment: string; mtu: number; device: string }[] = [],
  ): Promise<{ peer: QmpPeer; adopted: ReturnType<typeof adoptQemu> }> {
    const peer = await QmpPeer.listen(({ execute, id }) => ({
      return: { ...ANSWERS, ...odd }[execute] ?? {},
      id,
    }));
    closers.push(() => peer.close());
    const definition = { adopt: { qmp: peer.path }, nics };
    const adopted = adoptQemu({ name: 'g', definition, runDirectory: directory, signal });
    return { peer, adopted };
  }
  /** What changed something in it, with the value. */
  const changes = ({ received }: QmpPeer): unknown[] =>
    received.filter(({ execute }) => !/^(query|qom-list|qmp_|human)/.test(execute)).map(told);
  const told = ({ execute, arguments: { capabilities, ...rest } }: Command): unknown => [
    execute,
    (capabilities as { state: boolean }[] | undefined)?.[0]?.state ?? rest['max-bandwidth'],
  ];

  test.each<[string, Answers, RegExp]>([
    ['a migration under way', { 'query-migrate': { status: 'active' } }, /migration of it is under way/],
    ['a state being loaded', { 'query-status': { status: 'inmigrate', running: false } }, /under way/],
    ['a filter', { 'qom-list': [{ name: 'f0', type: 'child<filter-mirror>' }] }, /net filter, f0/],
    ['a hub', { 'human-monitor-command': 'hub 0\r\n \\ h0: t0: index=0,type=tap\r\n' }, /a hub \(hub 0\)/],
  ])('%s is refused, with nothing changed', async (_what, odd, words) => {
    const { peer, adopted } = await adopt(odd);
    await expect(adopted).rejects.toMatchObject({
      code: 'ADOPT_REFUSED',
      message: expect.stringMatching(words) as unknown,
    });
    expect(changes(peer)).toEqual([]);
  });

  test('a TAP it does not have is refused, with nothing changed', async () => {
    const { peer, adopted } = await adopt({}, [{ name: 'n', segment: 'lan', mtu: 1500, device: 'tapy' }]);
    await expect(adopted).rejects.toMatchObject({ code: 'ADOPT_REFUSED' });
    expect(changes(peer)).toEqual([]);
  });

  test.each([
    ['its own', BANDWIDTH, true, BANDWIDTH],
    ["those of a daemon that was killed, QEMU's defaults", 2 ** 60, false, 128 * 2 ** 20],
  ])('let go, it has its migration settings again: %s', async (_whose, found, events, after) => {
    const { peer, adopted } = await adopt({
      'query-migrate-parameters': { 'max-bandwidth': found },
      'query-migrate-capabilities': [{ capability: 'events', state: true }],
    });
    const { letGo } = await adopted;
    expect(changes(peer)).toEqual([
      ['migrate-set-capabilities', true],
      ['migrate-set-parameters', 2 ** 60],
    ]);
    await letGo();
    await letGo();
    expect(changes(peer).slice(2)).toEqual([
      ['migrate-set-parameters', after],
      ['migrate-set-capabilities', events],
    ]);
  });

  test('a listener without a pid here is refused', async () => {
    peerPid.is = 0;
    const { adopted } = await adopt({});
    await expect(adopted).rejects.toMatchObject({
      code: 'ADOPT_REFUSED',
      message: expect.stringMatching(/another PID namespace/) as unknown,
    });
  });
});

/** A QEMU as a program: answers, loads any state when `loads`, and else ends of it as QEMU 7.2 does. */
const program = (loads: boolean): string => `
const answers = ${JSON.stringify(ANSWERS)};
require('node:fs').writeFileSync(process.env.STILLWIRE_QMP + '.pid', String(process.pid));
require('node:net').createServer((socket) => {
  const write = (what) => socket.write(JSON.stringify(what) + '\\n');
  write({ QMP: {} });
  let rest = '';
  socket.on('error', () => undefined).on('data', (chunk) => {
    const lines = (rest + chunk).split('\\n');
    rest = lines.pop();
    for (const line of lines) {
      const { execute, id } = JSON.parse(line);
      if (execute === 'migrate-incoming' && !${loads}) {
        process.stderr.write('load of migration failed: Invalid argument\\n');
        process.exit(1);
      }
      write({ return: answers[execute] ?? {}, id });
      if (execute === 'migrate-incoming') write({ event: 'MIGRATION', data: { status: 'completed' } });
    }
  });
}).listen(process.env.STILLWIRE_QMP);
setTimeout(() => process.exit(9), 30000);
`;

describe('started again by its owner', () => {
  const qmp = (): string => join(directory, 'g.qmp');
  const definitionOf = (source: string) => ({
    adopt: { qmp: qmp(), restart: [process.execPath, '-e', source] },
    nics: [],
  });
  const stateFile = (): string => join(directory, 'state');
  const runs = async (): Promise<boolean> =>
    startTimeOf(Number(await readFile(`${qmp()}.pid`, 'utf8'))) !== undefined;
  const options = (source: string) => ({
    network: 'n',
    name: 'g',
    definition: definitionOf(source),
    tapFds: [],
    runDirectory: directory,
    stateFile: stateFile(),
    signal,
  });

  beforeEach(() => writeFile(stateFile(), 'state'));

  test('one that ends of its state is told by its own words', async () => {
    await expect(restartAdopted(options(program(false)))).rejects.toMatchObject({
      code: 'GUEST_DIED',
      message: expect.stringMatching(/load of migration failed: Invalid argument/) as unknown,
    });
  });

  test('one that is refused is ended', async () => {
    const source = program(true).replace('filter-dump', 'filter-buffer');
    await expect(restartAdopted(options(source))).rejects.toMatchObject({ code: 'ADOPT_REFUSED' });
    expect(await runs()).toBe(false);
  });

  test('without its state nothing is started', async () => {
    await rm(stateFile());
    await expect(restartAdopted(options(program(true)))).rejects.toMatchObject({ code: 'SYSCALL' });
    expect(existsSync(`${qmp()}.pid`)).toBe(false);
  });

  test.each([
    ['until the release a failure ends it', false],
    ['behind it it is let go', true],
  ])('%s', async (_what, released) => {
    const definition = { network: 'n', segments: {}, guests: { g: definitionOf(program(true)) }, ports: {} };
    const network = { definition: definition as unknown as NetworkDefinition, on: vi.fn(), close: vi.fn() };
    const live = new LiveNetwork(network as unknown as Network);
    await live.startGuests({ runDirectory: directory, signal }, () => ({
      stateFile: stateFile(),
      checkpointId: 'c',
    }));
    const pid = live.guests.get('g')?.pid;
    closers.push(() => Promise.resolve(pid !== undefined && released && process.kill(pid, 'SIGKILL')));
    if (released) live.handOver();
    await live.close();
    expect(await runs()).toBe(released);
  });
});
