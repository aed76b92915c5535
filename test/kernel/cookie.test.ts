/**
 * Cookies, answered by real Linux stacks and by echo agents; and the proof by them alone: in this file nothing that the
 * kernel shows about a port is looked at, numbers without meaning stand in its place.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { NetworkDefinition } from '../../src/definition/definition.js';
import type { Hold, HoldOptions, Mark, Network } from '../../src/network/index.js';
import { imbalances, type PortLedger } from '../../src/switch/index.js';
import { frame, numberOf, station } from '../pure/frames.js';
import { loadBuild } from './build.js';
import { ip, Lab } from './lab.js';
import { StackMachine } from './stack-machine.js';

const BLINDFOLD = 'STILLWIRE_WITHOUT_KERNEL_EVIDENCE';
const NUMBERED = 0x88b6;
const lab = new Lab('cookie');
const directory = mkdtempSync(join(tmpdir(), 'swt-cookie-'));
const namespaces = new Map<string, string>();
const machines = new Map<string, StackMachine>();
const agents: ChildProcess[] = [];
let network: Network;
let hold: Hold | undefined;

const machine = (name: string): StackMachine => machines.get(name)!;

beforeAll(async () => {
  const build = await loadBuild();
  const nic = { nics: [{ name: 'nic0', segment: 'lan', mac: '', mtu: 1500 }] };
  process.env[BLINDFOLD] = '1';
  try {
    network = await build.network.Network.open({
      network: lab.network(),
      segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
      guests: { a: nic, b: nic, six: nic },
      ports: {},
    } as unknown as NetworkDefinition);
  } finally {
    process.env[BLINDFOLD] = '';
  }
  for (const [i, name] of ['a', 'b', 'six'].entries()) {
    const namespace = lab.addNamespace(name);
    namespaces.set(name, namespace);
    machines.set(name, new StackMachine(network.tapFd(`${name}/nic0`), namespace, station(i + 1)));
    if (name !== 'six') ip('-n', namespace, 'address', 'add', `10.1.0.${i + 1}/24`, 'dev', 'eth0');
    machine(name).start();
  }
  await lab.start(namespaces.get('a')!, 'udp.mjs', 'send', '10.1.0.2', 9, 1, 1).result.catch(() => undefined);
  await vi.waitFor(() => expect(neighbours('a')).toEqual(['10.1.0.2 02:00:00:00:00:02'])); // both have spoken
});

afterEach(async () => {
  await hold?.release();
  hold = undefined;
  for (const each of machines.values()) each.start();
});

afterAll(async () => {
  for (const agent of agents) agent.kill('SIGKILL');
  try {
    for (const each of machines.values()) await each.close();
    await (network as Network | undefined)?.close();
  } finally {
    lab.close();
    rmSync(directory, { recursive: true });
  }
});

/** Whom the stack of a machine knows. */
function neighbours(name: string): string[] {
  const found = JSON.parse(ip('-n', namespaces.get(name)!, '-j', 'neigh')) as {
    dst: string;
    lladdr?: string;
  }[];
  return found.flatMap(({ dst, lladdr }) => (lladdr === undefined ? [] : [`${dst} ${lladdr}`]));
}

/** Takes a hold whose drain is long enough for a busy machine: it ends by itself. */
async function take(options: HoldOptions): Promise<Hold> {
  hold = await network.hold({ bounds: { drainMs: 5000 }, leaseMs: 60_000, ...options });
  return hold;
}

async function stopAll(): Promise<void> {
  for (const each of machines.values()) await each.stop();
}

const rows = async (): Promise<readonly PortLedger[]> => (await network.ledger()).ports;
const numbers = (frames: readonly Uint8Array[]): number[] =>
  frames.flatMap((bytes) => {
    const plain = Buffer.from(bytes);
    return plain.readUInt16BE(12) === NUMBERED ? [numberOf(plain)] : [];
  });
const verdicts = (mark: Mark): Record<string, string> =>
  Object.fromEntries(mark.verdicts.map(({ port, proven, reason }) => [port, proven ? 'proven' : reason!]));

test('a stack with an address answers; one without, and without an agent, leaves its port unproven', async () => {
  const taken = await take({ method: 'cookie' });
  expect(taken.unready).toEqual([]);
  await stopAll();
  const mark = await taken.mark();
  expect(verdicts(mark)).toEqual({
    'a/nic0': 'proven',
    'b/nic0': 'proven',
    'six/nic0': 'nobody behind this port is known to answer a cookie',
  });
  expect(mark.addresses).toEqual([
    { port: 'a/nic0', vlan: 0, ip: '10.1.0.1' },
    { port: 'b/nic0', vlan: 0, ip: '10.1.0.2' },
  ]);
  for (const [name, other] of [
    ['a', 2],
    ['b', 1],
  ] as const) {
    expect(neighbours(name)).toEqual([`10.1.0.${other} 02:00:00:00:00:0${other}`]); // answered without a trace
  }
  await mark.unpin();
});

test('count proves nothing here, and auto asks the guests', async () => {
  await expect(take({ method: 'count', bounds: { drainMs: 300 } })).rejects.toMatchObject({
    code: 'PORT_UNREADY',
  });
  expect((await network.ledger()).held).toBe(false);
  const taken = await network.holdAsIs({ method: 'auto', leaseMs: 60_000, bounds: { drainMs: 3000 } });
  hold = taken;
  const refusal = taken.drain(); // of the one that nobody can ask, and no others
  await expect(refusal).rejects.toMatchObject({
    code: 'PORT_UNREADY',
    details: { ports: [{ port: 'six/nic0' }] },
  });
  await expect(refusal).rejects.not.toThrow(/[ab]\/nic0/);
});

test('what is proven is so: under traffic, whatever is not in flight had been read when the drain was over', async () => {
  // A long run of cuts through traffic from a to b, at any moment, b's hypervisor reading as it comes to it.
  let next = 0;
  let sending = true;
  const traffic = (async () => {
    while (sending) {
      for (let i = 0; i < 20 && machine('a').running; i++) {
        machine('a').send(frame(next++, { type: NUMBERED, from: station(1), to: station(2) }));
      }
      await sleep(1);
    }
  })();
  let inFlight = 0;
  try {
    for (let round = 0; round < 12; round++) {
      await sleep(3 + round);
      const taken = await take({ method: 'cookie' });
      const ledger = await rows();
      const read = machine('b').taken.length;
      expect(read).toBeGreaterThanOrEqual(ledger[1]!.egress.sent - 1); // all but, perhaps, the marker's last frame
      await stopAll();
      const mark = await taken.mark();
      expect(verdicts(mark)).toMatchObject({ 'a/nic0': 'proven', 'b/nic0': 'proven' });
      expect(imbalances(mark.ledger)).toEqual([]);
      const held = (await mark.frames()).filter(({ destinations }) => destinations.includes('b/nic0'));
      const had = numbers(machine('b').taken);
      const cut = [...had, ...numbers(held.map(({ bytes }) => bytes))];
      expect(cut).toEqual(Array.from({ length: next }, (_, n) => n)); // all that a had sent, once, in order
      inFlight += held.length;
      await mark.unpin();
      for (const each of machines.values()) each.start();
      await taken.release();
    }
  } finally {
    sending = false;
    await traffic;
  }
  await expect.poll(() => numbers(machine('b').taken).length, { timeout: 10_000 }).toBe(next);
  expect(numbers(machine('b').taken)).toEqual(Array.from({ length: next }, (_, n) => n));
  expect(inFlight).toBeGreaterThan(0);
});

test('a guest that has not read what was before the marker cannot have answered it', async () => {
  await machine('b').stop();
  const before = machine('b').taken.length;
  for (let n = 0; n < 5; n++) {
    machine('a').send(frame(900_000 + n, { type: NUMBERED, from: station(1), to: station(2) }));
  }
  await expect.poll(async () => (await rows())[1]!.egress.sent).toBeGreaterThanOrEqual(before + 5);
  await expect(take({ method: 'cookie', bounds: { drainMs: 50 } })).rejects.toMatchObject({
    code: 'PORT_UNREADY',
    details: { ports: [{ port: 'b/nic0', reason: 'the guest did not answer the cookie in time' }] },
  });
  const { swallowed } = (await rows())[1]!.ingress.discarded;
  machine('b').start(); // it answers now, long after: nobody hears of it, and it does not count for the next hold
  await expect.poll(async () => (await rows())[1]!.ingress.discarded.swallowed).toBeGreaterThan(swallowed);
  expect(numbers(machine('b').taken).slice(-5)).toEqual([0, 1, 2, 3, 4].map((n) => 900_000 + n));
  expect((await take({ method: 'cookie' })).unready).toEqual([]);
});

test.each(['C', 'Python'])(
  'the agent in %s answers where there is no IPv4, from its first word on',
  async (language) => {
    const command = language === 'C' ? [compiledAgent()] : ['python3', pythonAgent()];
    const swallowed = async (): Promise<number> => (await rows())[2]!.ingress.discarded.swallowed;
    const before = await swallowed();
    const agent = spawn('ip', ['netns', 'exec', namespaces.get('six')!, ...command], { stdio: 'ignore' });
    agents.push(agent);
    await expect.poll(swallowed, { timeout: 15_000 }).toBeGreaterThan(before);
    const taken = await take({ method: 'cookie' });
    await stopAll();
    const mark = await taken.mark();
    expect(verdicts(mark)['six/nic0']).toBe('proven');
    expect(mark.addresses[0]).toEqual({ port: 'six/nic0', vlan: 0 });
    expect(numbers((await mark.frames()).map(({ bytes }) => bytes))).toEqual([]);
    expect(await swallowed()).toBeGreaterThan(before + 1);
    await mark.unpin();
    agent.kill('SIGKILL');
    await new Promise((resolve) => agent.once('exit', resolve));
  },
);

function compiledAgent(): string {
  const source = fileURLToPath(new URL('../../examples/echo-agent/agent.c', import.meta.url));
  const program = join(directory, 'echo-agent');
  execFileSync('gcc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', program, source]);
  return program;
}

/** The one that docs/echo-agent.md shows. */
function pythonAgent(): string {
  const page = readFileSync(new URL('../../docs/echo-agent.md', import.meta.url), 'utf8');
  const program = join(directory, 'agent.py');
  const [, code] = /```python\n([\s\S]*?)```/.exec(page)!;
  execFileSync('tee', [program], { input: code!, stdio: ['pipe', 'ignore', 'inherit'] });
  return program;
}
