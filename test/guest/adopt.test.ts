/**
 * Adopting QEMUs that somebody else has started, by the command line, in a namespace of this test's own: the host's as
 * far as Stillwire can tell.
 */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { QemuDefinition } from '../../src/definition/definition.js';
import { qemuArguments } from '../../src/guest/qemu-arguments.js';
import { GuestConsole } from '../../src/demo/guest-console.js';
import { finishTraffic, trafficRuns } from '../../src/demo/result.js';
import { isFaultless, tallyUp } from '../../src/demo/tally.js';
import { flatGuests, testNetwork } from '../../src/demo/traffic-network.js';
import { DEFINITION, QEMU } from './qemu-machine.js';

const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const PATIENCE = { withinMs: 90_000 };
const NETWORK = `ta${process.pid}`;
const namespace = `swt-adopt-${process.pid}`;
const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });
/** `ip netns exec` would bring a /sys and mounts of its own, which a daemon that makes namespaces must not have. */
const nsenter = ['nsenter', `--net=/run/netns/${namespace}`] as const;

let directory: string;
const children = new Set<ChildProcess>();

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'swa-'));
  ip('netns', 'add', namespace);
});
afterEach(async () => {
  await stillwire('down', '-n', NETWORK).catch(() => undefined);
  for (const pid of restarted()) process.kill(pid, 'SIGKILL');
  for (const child of children) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null)
      await new Promise((resolve) => child.once('exit', resolve));
  }
  children.clear();
  ip('netns', 'delete', namespace);
  await rm(directory, { recursive: true, force: true });
});

async function stillwire(...args: string[]): Promise<string> {
  const env = {
    ...process.env,
    STILLWIRE_RUN: join(directory, 'run'),
    STILLWIRE_STATE: join(directory, 'state'),
  };
  const [program, ...rest] = [...nsenter, process.execPath, CLI, ...args] as [string, ...string[]];
  return (await promisify(execFile)(program, rest, { env })).stdout;
}

/** QEMUs of this directory that are no children of ours: what a restart started. */
const restarted = (): number[] =>
  readdirSync('/proc')
    .filter(
      (pid) => /^\d+$/.test(pid) && commandLine(pid).startsWith(QEMU) && commandLine(pid).includes(directory),
    )
    .map(Number)
    .filter((pid) => ![...children].some((child) => child.pid === pid));

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return ''; // it has ended
  }
}

/** The exit code and stderr of a command that fails. */
async function refused(...args: string[]): Promise<{ code: number; stderr: string }> {
  try {
    await stillwire(...args);
  } catch (error) {
    return error as { code: number; stderr: string };
  }
  throw new Error('it was not refused');
}

const socket = (guest: string): string => join(directory, `${guest}.qmp`);

/** The arguments of a guest whose TAP is opened by QEMU itself, by name. */
function byName(name: string, definition: QemuDefinition, netdev: string, incoming = false): string[] {
  const facts = { name, qmpSocket: socket(name), tapFds: definition.nics.map(() => 9), incoming };
  return qemuArguments(definition, facts).map((word) => word.replace('fd=9,vhost=off', netdev));
}

function startQemu(args: readonly string[]): ChildProcess {
  const child = spawn(nsenter[0], [nsenter[1], QEMU, ...args], { stdio: 'inherit' });
  children.add(child);
  return child;
}

/** QEMU makes its monitor before its TAP. */
async function untilThere(guest: string, device: string): Promise<void> {
  const isThere = (): boolean => ip('-n', namespace, '-br', 'link').includes(`${device} `);
  for (let i = 0; i < 500 && !(existsSync(socket(guest)) && isThere()); i++) await delay(20);
}

const link = (device: string): string => ip('-n', namespace, '-br', 'link', 'show', 'dev', device);

test('two guests: cut in place, killed and restarted by their owner, given back', async () => {
  const lab = testNetwork(NETWORK, directory, flatGuests(2));
  const names = Object.keys(lab.guests);
  const guests: Record<string, object> = {};
  for (const name of names) {
    const definition = lab.guests[name] as QemuDefinition;
    const device = `tap-${name}`;
    startQemu(byName(name, definition, `ifname=${device},script=no,downscript=no,vhost=off`));
    await untilThere(name, device);
    ip('-n', namespace, 'link', 'set', device, 'mtu', '1400', 'up');
    const script = join(directory, `${name}.sh`);
    const words = byName(name, definition, 'fd=$STILLWIRE_TAP_FDS,vhost=off', true);
    const quoted = words.map((word) => `"${word.replaceAll('"', '\\"')}"`).join(' ');
    await writeFile(
      script,
      `#!/bin/sh\ntest "$STILLWIRE_GUEST" = ${name} || exit 9\nexec ${QEMU} ${quoted}\n`,
    );
    await chmod(script, 0o755);
    guests[name] = {
      adopt: { qmp: socket(name), restart: [script] },
      nics: [{ segment: 'lan', device }],
    };
  }
  const file = join(directory, 'net.yaml');
  await writeFile(file, JSON.stringify({ network: NETWORK, segments: { lan: {} }, guests }));
  await stillwire('up', file, '--detach');
  const consoles = names.map((name) => new GuestConsole(name, directory));
  await trafficRuns(consoles, PATIENCE);

  for (const name of ['one', 'two']) {
    const report = JSON.parse(await stillwire('checkpoint', name, '--drain', '1000', '--json')) as {
      proven: boolean;
    };
    expect(report.proven).toBe(true);
  }
  await stillwire('checkpoint', 'three', '--drain', '1000', '--kill');
  expect([...children].every(({ signalCode }) => signalCode === 'SIGKILL')).toBe(true);
  await stillwire('restart', join(directory, 'state', NETWORK, 'three'));
  await stillwire('checkpoint', 'four', '--drain', '1000');
  const tally = tallyUp(await finishTraffic(consoles, PATIENCE));
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);

  const { networks } = JSON.parse(await stillwire('status', '--json')) as {
    networks: { guests: { pid: number }[] }[];
  };
  const running = networks.flatMap(({ guests: each }) => each);
  await stillwire('down');
  expect(running.filter(({ pid }) => existsSync(`/proc/${pid}`))).toHaveLength(2);
  for (const name of names) expect(link(`tap-${name}`)).toMatch(/UP/);
  expect(ip('netns', 'list')).not.toContain(`stillwire-${NETWORK}`);
});

describe('refused, with everything left as it was', () => {
  const nic = { name: 'n', segment: 'lan', mac: '52:54:00:00:00:01', mtu: 1500, model: 'virtio-net-pci' };
  const machine: QemuDefinition = { ...DEFINITION, nics: [nic] };
  const named = 'ifname=tapx,script=no,downscript=no';

  test('a hub or a net filter, but not one that only looks', async () => {
    const tap = `tap,id=t,${named},vhost=off`;
    const nicOn = (id: string): string[] => ['-device', `virtio-net-pci,netdev=${id},romfile=`];
    const hub = ['-netdev', 'hubport,id=h0,hubid=0,netdev=t', '-netdev', 'hubport,id=h1,hubid=0'];
    const buffer = 'filter-buffer,id=f,netdev=t,interval=1000000';
    const dump = `filter-dump,id=d,netdev=t,file=${join(directory, 'dump.pcap')}`;
    const cases: [RegExp, string[]][] = [
      [/goes through a hub \(hub 0\)/, [...hub, ...nicOn('h1')]],
      [/has a net filter, f/, [...nicOn('t'), '-object', buffer]],
      [/is none of those/, [...nicOn('t'), '-object', dump]],
    ];
    const file = join(directory, 'net.yaml');
    const guests = { g: { adopt: { qmp: socket('g') }, nics: [{ segment: 'lan', device: 'tapx' }] } };
    for (const [reason, args] of cases) {
      if (reason.source.includes('none')) guests.g.nics[0]!.device = 'tapy'; // refused for this alone
      await writeFile(file, JSON.stringify({ network: NETWORK, segments: { lan: {} }, guests }));
      const child = startQemu([...byName('g', DEFINITION, ''), '-netdev', tap, ...args]);
      await untilThere('g', 'tapx');
      expect((await refused('up', file)).stderr).toMatch(reason);
      expect(child.exitCode).toBeNull();
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
      await rm(socket('g'), { force: true });
    }
  });

  test.each<[string, string, string, RegExp, (() => void)?]>([
    ['several queues', `${named},queues=2,vhost=off`, 'tapx', /has several queues/],
    ['a finite send buffer', `${named},sndbuf=100000,vhost=off`, 'tapx', /finite send buffer/],
    ['no such TAP', `${named},vhost=off`, 'tapy', /none of those/],
    [
      'a bridge',
      `${named},vhost=off`,
      'tapx',
      /enslaved to br0/,
      () => {
        ip('-n', namespace, 'link', 'add', 'br0', 'type', 'bridge');
        ip('-n', namespace, 'link', 'set', 'tapx', 'master', 'br0');
      },
    ],
    [
      'an address of the host',
      `${named},vhost=off`,
      'tapx',
      /has an address of the host's, 192\.0\.2\.1/,
      () => ip('-n', namespace, 'address', 'add', '192.0.2.1/24', 'dev', 'tapx'),
    ],
  ])('%s', async (_name, netdev, device, reason, prepare) => {
    startQemu(byName('g', machine, netdev));
    await untilThere('g', 'tapx');
    prepare?.();
    const file = join(directory, 'net.yaml');
    const guests = { g: { adopt: { qmp: socket('g') }, nics: [{ segment: 'lan', device }] } };
    await writeFile(file, JSON.stringify({ network: NETWORK, segments: { lan: {} }, guests }));
    const { code, stderr } = await refused('up', file);
    expect([code, stderr]).toEqual([5, expect.stringMatching(reason)]);
    expect(link('tapx')).toContain('tapx');
    expect(ip('netns', 'list')).not.toContain(`stillwire-${NETWORK}`);
    expect([...children].every(({ exitCode }) => exitCode === null)).toBe(true);
  });

  test('nobody behind the QMP socket', async () => {
    const file = join(directory, 'net.yaml');
    const guests = { g: { adopt: { qmp: socket('g') } } };
    await writeFile(file, JSON.stringify({ network: NETWORK, segments: { lan: {} }, guests }));
    expect((await refused('up', file)).stderr).toMatch(/nobody listens/);
  });
});
