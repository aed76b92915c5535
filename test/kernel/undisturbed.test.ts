/** Traffic goes on whatever else is done: beside a guest that floods the network, and while the main thread is busy. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NetworkDefinition } from '../../src/definition/definition.js';
import type { Network } from '../../src/network/index.js';
import { counterRow, RECEIVED } from '../../src/switch/counters.js';
import { imbalances } from '../../src/switch/index.js';
import { loadBuild } from './build.js';
import { Lab } from './lab.js';

const lab = new Lab('calm');
const ROUND_TRIPS = 300;
const FLOOD_FRAMES = 20_000;
let network: Network;
let flooder: ChildProcess | undefined;
const ns: Record<string, string> = {};

beforeAll(async () => {
  const build = await loadBuild();
  for (const name of ['a', 'b']) ns[name] = lab.addNamespace(name);
  const device = (netns: string, address: string) => ({
    kind: 'device',
    segment: 'lan',
    device: 'eth0',
    netns,
    addresses: [address],
    mtu: 1500,
  });
  const guest = { nics: [{ name: 'nic0', segment: 'lan', mac: '', mtu: 1500 }] };
  network = await build.network.Network.open({
    network: lab.network(),
    segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
    guests: { flooder: guest, idle: guest },
    ports: { a: device(ns['a']!, '10.9.1.1/24'), b: device(ns['b']!, '10.9.1.2/24') },
  } as unknown as NetworkDefinition);
  await lab.start(ns['b']!, 'echo.mjs', 'answer', '10.9.1.2', 7).ready;
});

afterAll(async () => {
  try {
    flooder?.kill('SIGKILL');
    await (network as Network | undefined)?.close();
  } finally {
    lab.close();
  }
});

/** Frames received from a port so far. */
async function received(port: string): Promise<number> {
  return (await network.ledger()).ports.find(({ port: id }) => id === port)!.ingress.received;
}

const ask = (count: number) => lab.start(ns['a']!, 'echo.mjs', 'ask', '10.9.1.2', 7, count);

test('a guest that floods every port starves none: whatever two others ask each other is answered', async () => {
  const program = fileURLToPath(new URL('programs/flood.mjs', import.meta.url));
  const tap = network.tapFd('flooder/nic0');
  flooder = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit', tap] });
  await once(flooder.stdout!, 'data');
  const before = await received('flooder/nic0');
  let rounds = 0;
  for (let flooded = 0; flooded < FLOOD_FRAMES; rounds++) {
    expect(await ask(ROUND_TRIPS).result).toEqual({ answered: ROUND_TRIPS });
    flooded = (await received('flooder/nic0')) - before;
  }
  expect(flooder.exitCode).toBeNull(); // it flooded all the while
  flooder.kill('SIGKILL');
  await once(flooder, 'exit');
  const { ports } = await network.ledger();
  expect(imbalances(ports)).toEqual([]);
  // What it sent came to them too, and none of it cost them a frame.
  for (const id of ['a', 'b']) {
    const { egress } = ports.find(({ port }) => port === id)!;
    expect(egress.sent).toBeGreaterThan(FLOOD_FRAMES);
    expect(Object.values(egress.dropped).every((lost) => lost === 0)).toBe(true);
  }
});

test('the main thread stands still: what others ask each other is answered meanwhile', async () => {
  const { counters } = network.handle; // in shared memory
  const rows = [counterRow(counters, 2), counterRow(counters, 3)]; // a's and b's: guests come first
  const passed = (): number => rows.reduce((sum, row) => sum + row[RECEIVED]!, 0);
  await ask(Number.MAX_SAFE_INTEGER).ready;
  const before = passed();
  const cell = new Int32Array(new SharedArrayBuffer(4));
  // Not one turn of the event loop from here on, until the counters say that so many were
  // asked and answered, one after the other.
  for (let i = 0; passed() < before + 2 * ROUND_TRIPS && i < 200; i++) Atomics.wait(cell, 0, 0, 50);
  expect(passed()).toBeGreaterThanOrEqual(before + 2 * ROUND_TRIPS);
});
