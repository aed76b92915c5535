/**
 * Taking back what a guest has not read, on real TAPs. This process plays the hypervisor of a guest that takes nothing,
 * as QEMU does: it reads one frame and no more, throws that one away when it is stopped, and reads the next instead.
 */
import { readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { NetworkDefinition } from '../../src/definition/definition.js';
import { isSameFrame } from '../../src/frame/super-frame.js';
import type { Hold, Mark, Network } from '../../src/network/index.js';
import { FRAME_OFFSET, FrameList, FrameMemory } from '../../src/port/batch.js';
import { PacketReceiver } from '../../src/port/packet-receiver.js';
import { TapPort } from '../../src/port/tap-port.js';
import { imbalances } from '../../src/switch/index.js';
import {
  acceptOffloads,
  closeFd,
  createTap,
  enterNamespace,
  LinkStatistics,
  namespacePath,
  O_RDONLY,
  openFd,
  setLinkUp,
  silenceNamespace,
} from '../../src/sys/index.js';
import { frame, numberOf, station } from '../pure/frames.js';
import { superFrame } from '../pure/super-frames.js';
import { loadBuild } from './build.js';
import { Lab } from './lab.js';

const lab = new Lab('recall');
const VNET = 10;
afterAll(() => lab.close());

/** One frame with its header, undefined when there is none. */
function readOne(fd: number): Buffer | undefined {
  const buffer = Buffer.alloc(70_000);
  try {
    return Buffer.from(buffer.subarray(0, readSync(fd, buffer)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

function readAll(fd: number): Buffer[] {
  const found: Buffer[] = [];
  for (let one = readOne(fd); one !== undefined; one = readOne(fd)) found.push(one);
  return found;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const isSentinel = (stored: Buffer): boolean => stored.readUInt16BE(VNET + 12) === 0x88b5;
const numbers = (frames: readonly Buffer[]): number[] =>
  frames.filter((each) => !isSentinel(each)).map((stored) => numberOf(stored.subarray(VNET)));

class DeafGuest {
  #taken: Buffer | undefined;

  constructor(readonly fd: number) {}

  take(): void {
    this.#taken ??= readOne(this.fd);
  }

  stop(): void {
    this.#taken = readOne(this.fd);
  }

  /** It begins to read: the numbers of all that comes to it. */
  async wake(count: number): Promise<number[]> {
    const found = this.#taken === undefined ? [] : [this.#taken];
    this.#taken = undefined;
    for (let tries = 0; tries < 400 && (tries < 10 || numbers(found).length < count); tries++) {
      found.push(...readAll(this.fd));
      await sleep(5);
    }
    return numbers(found);
  }
}

describe('a network', () => {
  let build: Awaited<ReturnType<typeof loadBuild>>;
  let network: Network;
  let deaf: DeafGuest;
  let reading: NodeJS.Timeout;
  let opened = 0;
  let sent = 0;

  const definition = (): NetworkDefinition => {
    const guest = { nics: [{ name: 'nic0', segment: 'lan', mac: '', mtu: 1500 }] };
    return {
      network: lab.network(String(opened++)),
      segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
      guests: { a: guest, deaf: guest },
      ports: {},
    } as unknown as NetworkDefinition;
  };

  /** The guest `a` reads what comes to it, and nobody is to look at that. */
  const attach = (): void => {
    deaf = new DeafGuest(network.tapFd('deaf/nic0'));
    const fd = network.tapFd('a/nic0');
    reading = setInterval(() => readAll(fd), 1);
  };

  beforeAll(async () => {
    build = await loadBuild();
  });
  beforeEach(async () => {
    network = await build.network.Network.open(definition());
    sent = 0;
    attach();
  });
  afterEach(async () => {
    clearInterval(reading);
    await network.close();
  });

  async function send(count: number): Promise<void> {
    const fd = network.tapFd('a/nic0');
    const before = await received();
    for (let i = 0; i < count; i++) {
      writeSync(fd, Buffer.concat([Buffer.alloc(VNET), frame(sent++, { to: station(9), from: station(1) })]));
    }
    while ((await received()) < before + count) await sleep(1);
    deaf.take();
  }

  const received = async (): Promise<number> =>
    (await network.ledger()).ports.find(({ port }) => port === 'a/nic0')!.ingress.received;

  const hold = (): Promise<Hold> =>
    network.hold({ unready: 'keep', bounds: { drainMs: 60 }, leaseMs: 20_000 });

  const inFlight = async (mark: Mark): Promise<number[]> =>
    (await mark.frames()).map(({ bytes }) => numberOf(Buffer.from(bytes)));

  test('refused by default, with nothing changed', async () => {
    await send(5);
    await expect(network.hold({ bounds: { drainMs: 20 } })).rejects.toMatchObject({
      code: 'PORT_UNREADY',
      details: { ports: [{ port: 'deaf/nic0' }] },
    });
    await send(5);
    expect(await deaf.wake(10)).toEqual(range(0, 10));
  });

  test.for([
    { stops: true, name: 'that is stopped each time' },
    { stops: false, name: 'that nobody stops' },
  ])(
    'a guest $name: several holds in a row, in place, and every frame comes once, in order',
    async ({ stops }) => {
      for (let round = 1; round <= 5; round++) {
        await send(30);
        const held = await hold();
        expect(held.unready).toEqual(['deaf/nic0']);
        if (stops) deaf.stop();
        await send(10);
        const mark = await held.mark();
        expect(await inFlight(mark)).toEqual(range(0, 40 * round));
        const { down } = mark.evidence.find(({ port }) => port === 'deaf/nic0')!;
        expect(down.recalled).toBe(40 * round - 10);
        expect(mark.verdicts.find(({ port }) => port === 'deaf/nic0')).toMatchObject({
          proven: false,
          reason: `${40 * round - 10} frames the guest did not read were taken back`,
        });
        await mark.unpin();
        await held.release();
        await sleep(20);
        deaf.take();
      }
      expect(await deaf.wake(200)).toEqual(range(0, 200));
      expect(imbalances((await network.ledger()).ports)).toEqual([]);
    },
  );

  test('more than the ring takes, over restarts from the mark', async () => {
    await send(300);
    for (let round = 1; round <= 3; round++) {
      const held = await hold();
      deaf.stop();
      await send(10);
      const mark = await held.mark();
      expect(await inFlight(mark)).toEqual(range(0, 300 + 10 * round));
      const saved = {
        frames: await mark.frames(),
        stations: mark.stations,
        nonces: mark.nonces,
        cookies: mark.cookies,
        addresses: mark.addresses,
      };
      clearInterval(reading);
      await network.close();
      const next = await build.network.Network.openHeld(definition(), 20_000);
      network = next.network;
      attach();
      await next.hold.restore(saved);
      await next.hold.release();
      await sleep(20);
      deaf.take();
    }
    expect(await deaf.wake(330)).toEqual(range(0, 330));
  });

  test('a guest that reads again has a whole window, and is proven', async () => {
    await send(250);
    for (let i = 0; i < 10; i++) await (await hold()).release();
    expect(await deaf.wake(250)).toEqual(range(0, 250));
    const waking = setInterval(() => readAll(deaf.fd), 1);
    const held = await network.hold({ bounds: { drainMs: 2000 } });
    clearInterval(waking);
    expect((await held.mark()).proven).toBe(true);
    await held.release();
    await send(256);
    expect((await network.ledger()).ports.map(({ egress }) => egress.held)).toEqual([0, 0]);
    expect(await deaf.wake(256)).toEqual(range(250, 506));
  });
});

describe('super-frames on a TAP of this process', () => {
  let home: number;
  const memory = new FrameMemory();
  const list = new FrameList();

  beforeAll(() => {
    home = openFd('/proc/thread-self/ns/net', O_RDONLY);
    enterNamespace(namespacePath(lab.addNamespace('taps')));
    silenceNamespace();
  });
  afterAll(() => {
    enterNamespace(`/proc/self/fd/${home}`);
    closeFd(home);
  });

  const shapes = [
    { version: 4, tag: false },
    { version: 6, tag: false },
    { version: 4, tag: true },
  ];

  /** Sends super-frames, lets the hypervisor read `count` ring entries, and takes the rest back. */
  function recallAfter(
    count: number,
    whole: boolean,
  ): { read: Buffer[]; taken: Buffer | undefined; ring: readonly Buffer[] } {
    const tunFd = createTap('tap0');
    const statistics = new LinkStatistics();
    setLinkUp('tap0', { arp: false });
    if (whole) acceptOffloads(tunFd);
    const receiver = new PacketReceiver(memory);
    const port = new TapPort({ id: 'vm/nic0', device: 'tap0', tunFd, memory, receiver, statistics });
    try {
      list.count = 0;
      for (const [i, shape] of shapes.entries()) {
        const stored = superFrame(i, { parts: 4, ...shape });
        const slot = memory.stage(i, stored);
        list.add(slot, slot + FRAME_OFFSET, stored.length - VNET);
      }
      expect(port.send(list, 0)).toBe(shapes.length);
      const read = Array.from({ length: count }, () => readOne(tunFd)!);
      const { taken, ring } = port.recall();
      expect(port.readSinceRecall()).toBe(0);
      expect(readOne(tunFd)).toBeUndefined();
      return { read, taken, ring };
    } finally {
      port.close();
      statistics.close();
    }
  }

  test.for([true, false])('taken whole: %s; what the hypervisor had is known at every place', (whole) => {
    const all = recallAfter(0, whole);
    expect(all.ring.length).toBe(whole ? 3 : 12);
    expect(all.taken).toBeUndefined();
    for (let count = 1; count < all.ring.length; count++) {
      const { read, taken, ring } = recallAfter(count, whole);
      expect(ring.length).toBe(all.ring.length - count);
      expect(taken, `behind ${count}`).toBeDefined();
      expect(isSameFrame(taken!, read.at(-1)!), `behind ${count}`).toBe(true);
      for (const [i, each] of ring.entries())
        expect(each.subarray(VNET)).toEqual(all.ring[count + i]!.subarray(VNET));
    }
  });
});
