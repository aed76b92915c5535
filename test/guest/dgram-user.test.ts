/**
 * Everything as an ordinary user, by the command line: no capability, no TAP, no namespace, and datagram queues as
 * short as the machine has them. Another user's network of the same name is not in the way.
 */
import { execFile, execFileSync } from 'node:child_process';
import {
  accessSync,
  chownSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { QemuDefinition } from '../../src/definition/definition.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GuestConsole } from '../../src/demo/guest-console.js';
import { finishTraffic, trafficRuns } from '../../src/demo/result.js';
import { tallyUp } from '../../src/demo/tally.js';
import { flatGuests, guestImage, testNetwork } from '../../src/demo/traffic-network.js';

const NOBODY = 65534;
const PATIENCE = { withinMs: 90_000 };
const build = process.env['STILLWIRE_DIST'] ?? fileURLToPath(new URL('../../dist', import.meta.url));
const program = join(build, 'cli/main.js');
const NAME = `u${process.pid}`;
let directory: string;
let consoles: GuestConsole[];

/** Whether nobody gets to a file: another user's checkout may be closed to it. */
function isOpenToAll(path: string): boolean {
  const above = dirname(path);
  return (statSync(path).mode & constants.S_IXOTH) !== 0 && (above === path || isOpenToAll(above));
}
accessSync(program);
const reachable = isOpenToAll(dirname(program)) && isOpenToAll(dirname(guestImage().kernel));

/** Runs a command line as nobody; its document. */
async function stillwire(...args: string[]): Promise<Record<string, unknown>> {
  const environment = {
    PATH: process.env['PATH'] ?? '',
    HOME: directory,
    XDG_RUNTIME_DIR: directory,
    STILLWIRE_STATE: join(directory, 'state'),
  };
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const command = ['setpriv', ...user, process.execPath, program, ...args, '--json', '--quiet'];
  const { stdout } = await promisify(execFile)('env', ['-i', ...pairs(environment), ...command], {
    cwd: directory,
  });
  return JSON.parse(stdout) as Record<string, unknown>;
}

const pairs = (environment: Readonly<Record<string, string>>): string[] =>
  Object.entries(environment).map(([name, value]) => `${name}=${value}`);

beforeAll(async () => {
  if (!reachable) return;
  directory = mkdtempSync(join(tmpdir(), 'swt-user-'));
  chownSync(directory, NOBODY, NOBODY);
  execFileSync('ip', ['netns', 'add', `stillwire-${NAME}`]); // root's network of the same name
  const { guests } = testNetwork(NAME, directory, flatGuests(2), { udpRate: 500, tcpRate: '250k' });
  const file = {
    network: NAME,
    transport: 'dgram',
    segments: { lan: {} },
    guests: Object.fromEntries(
      Object.entries(guests as Record<string, QemuDefinition>).map(
        ([name, { kernel, initrd, append, console, consoleLog }]) => [
          name,
          { kernel, initrd, append, console, consoleLog, nics: [{ segment: 'lan' }] },
        ],
      ),
    ),
    ports: { far: { segment: 'lan', kind: 'dgram', path: './far.sock', peer: './nobody-yet.sock' } },
  };
  writeFileSync(join(directory, 'lab.yaml'), JSON.stringify(file));
  consoles = Object.keys(guests).map((guest) => new GuestConsole(guest, directory));
  await stillwire('up', 'lab.yaml', '--detach');
  await trafficRuns(consoles, PATIENCE);
});

afterAll(async () => {
  if (!reachable) return;
  await stillwire('down').catch(() => undefined);
  execFileSync('ip', ['netns', 'delete', `stillwire-${NAME}`]);
  rmSync(directory, { recursive: true, force: true });
});

interface Ports {
  readonly ports: readonly {
    readonly port: string;
    readonly proven: boolean;
    readonly evidence: { kind: string };
  }[];
}

test.runIf(reachable)(
  'up, checkpoint, kill and restart, a killed daemon, down: proven, and nothing lost that was held',
  async () => {
    expect(await stillwire('status')).not.toHaveProperty('namespace');
    for (const [name, ...more] of [['one'], ['two'], ['three', '--kill']]) {
      await delay(400);
      const { ports } = (await stillwire(
        'checkpoint',
        name!,
        '--drain',
        '1000',
        ...more,
      )) as unknown as Ports;
      expect(ports.map(({ port, proven, evidence }) => [port, evidence.kind, proven])).toEqual([
        ['g1/nic0', 'dgram', true],
        ['g2/nic0', 'dgram', true],
        ['far', 'dgram', true],
      ]);
    }
    await stillwire('restart', 'three');
    await delay(400);
    expect(await stillwire('verify', 'three')).toMatchObject({ proven: true });

    // Its daemon is killed: the guests hold both ends of their pairs, so another finds them, and what lies in them.
    const { daemon } = JSON.parse(readFileSync(join(directory, 'stillwire', NAME, 'state.json'), 'utf8')) as {
      daemon: { pid: number };
    };
    process.kill(daemon.pid, 'SIGKILL');
    await delay(1000);
    await stillwire('up', 'lab.yaml', '--detach');
    await delay(1000);
    const { ports } = (await stillwire('checkpoint', 'four', '--drain', '1000')) as unknown as Ports;
    expect(ports.filter(({ proven }) => !proven)).toEqual([]);

    const tally = tallyUp(await finishTraffic(consoles, PATIENCE));
    // What a switch has in its hands when it is killed outside of a hold, at most two bursts, is nobody's.
    expect(tally.udp.lost).toBeLessThanOrEqual(128);
    expect({ ...tally.udp, lost: 0 }).toMatchObject({ duplicated: 0, reordered: 0 });
    expect(tally.tcp.intact).toBe(true);
    await stillwire('down');
    expect(() => statSync(join(directory, 'far.sock'))).toThrow();
  },
);

test.runIf(reachable)('a network with a TAP is refused by the name of the port', async () => {
  const inner = join(directory, 'tap');
  mkdirSync(inner);
  writeFileSync(join(inner, 'lab.yaml'), 'segments: {lan: {}}\nguests: {a: {nics: [{segment: lan}]}}\n');
  const failure = await stillwire('up', join(inner, 'lab.yaml'), '--detach').then(
    () => 'nothing failed',
    (error: unknown) => (error as { stderr: string }).stderr,
  );
  expect(JSON.parse(failure)).toMatchObject({
    error: { code: 'NO_PRIVILEGE', message: 'port a/nic0 is a TAP, and making one needs root' },
  });
});
