/**
 * A guest that floods a held network, through the real switch thread and real TAPs: the hold is ended and told so, every
 * frame is delivered in its order, and the next hold is as good as any.
 */
import { readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NetworkDefinition } from '../../src/definition/definition.js';
import type { Hold, Network } from '../../src/network/index.js';
import { imbalances } from '../../src/switch/index.js';
import { frame, numberOf } from '../pure/frames.js';
import { loadBuild } from './build.js';
import { Lab } from './lab.js';

const lab = new Lab('flood');
const BOUND = 65_536;
const VNET = Buffer.alloc(10);
let network: Network;

beforeAll(async () => {
  const build = await loadBuild();
  const nics = [{ name: 'nic0', segment: 'lan', mac: '', mtu: 1500 }];
  network = await build.network.Network.open({
    network: lab.network(),
    segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
    guests: { a: { nics }, b: { nics } },
    ports: {},
  } as unknown as NetworkDefinition);
});

afterAll(async () => {
  try {
    await (network as Network | undefined)?.close();
  } finally {
    lab.close();
  }
});

const buffer = Buffer.alloc(70_000);

/** Numbers of the frames a guest's hypervisor finds in its TAP now; sentinels have none. */
function readAll(guest = 'b'): number[] {
  const found: number[] = [];
  for (;;) {
    try {
      const bytes = buffer.subarray(VNET.length, readSync(network.tapFd(`${guest}/nic0`), buffer));
      if (bytes.readUInt16BE(12) === 0x88b6) found.push(numberOf(bytes));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      return found;
    }
  }
}

/** Holds, while both hypervisors read. */
async function hold(): Promise<Hold> {
  const reading = setInterval(() => ['a', 'b'].forEach((guest) => readAll(guest)), 1);
  try {
    return await network.hold({ leaseMs: 60_000 });
  } finally {
    clearInterval(reading);
  }
}

const held = async (): Promise<number> =>
  (await network.ledger()).ports.find(({ port }) => port === 'b/nic0')!.egress.held;

test(
  'a flood ends the hold, told as HOLD_OVERFLOW; all of it arrives, in order, and the next hold holds',
  { timeout: 120_000 },
  async () => {
    const first = await hold();
    const ended = (): boolean => first.signal.aborted;
    let sent = 0;
    while (!ended()) {
      for (const end = sent + 256; sent < end;)
        writeSync(network.tapFd('a/nic0'), Buffer.concat([VNET, frame(sent++)]));
      while (!ended() && (await network.ledger()).held && (await held()) < Math.min(sent, BOUND))
        await sleep(1);
    }
    expect(first.signal.reason).toMatchObject({ code: 'HOLD_OVERFLOW' });
    expect(sent).toBeGreaterThanOrEqual(BOUND);
    await expect(first.mark()).rejects.toMatchObject({ code: 'HOLD_OVERFLOW' });

    const got: number[] = [];
    for (let tries = 0; got.length < sent && tries < 20_000; tries++) {
      got.push(...readAll());
      await sleep(1);
    }
    expect(got.length).toBe(sent);
    expect(got.findIndex((number, i) => number !== i)).toBe(-1);
    expect(first.state).toBe('expired');
    const { held: stillHeld, ports } = await network.ledger();
    expect(stillHeld).toBe(false);
    expect(imbalances(ports)).toEqual([]);

    const next = await hold();
    writeSync(network.tapFd('a/nic0'), Buffer.concat([VNET, frame(1)]));
    while ((await held()) < 1) await sleep(1);
    expect(readAll()).toEqual([]);
    expect((await next.mark()).frameCount).toBe(1);
    await next.release();
    let last: number[] = [];
    for (let tries = 0; last.length === 0 && tries < 2000; tries++) {
      await sleep(1);
      last = readAll();
    }
    expect(last).toEqual([1]);
  },
);
