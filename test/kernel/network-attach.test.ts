/**
 * A network whose switch has died is taken up again: its namespace, and TAPs that living hypervisors hold. This process
 * plays the hypervisors, with descriptors of its own, as QEMU has.
 */
import { createSocket } from 'node:dgram';
import { existsSync, mkdtempSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { NetworkDefinition } from '../../src/definition/definition.js';
import type { InflightFrame } from '../../src/frame/types.js';
import { recoverHeld } from '../../src/hold-queue/recover.js';
import type { Hold, Network } from '../../src/network/index.js';
import { imbalances } from '../../src/switch/index.js';
import { frame, numberOf, station } from '../pure/frames.js';
import { loadBuild } from './build.js';
import { ip, Lab } from './lab.js';

const VNET = 10;
/** Of the frames a test sends: what the stacks behind the other ports say is not looked at, nor sentinels. */
const TEST_TYPE = 0x88b6;
const GUESTS = ['a', 'b'];
const VETH = `swa${process.pid}`;
let build: Awaited<ReturnType<typeof loadBuild>>;
let lab: Lab;
let definition: NetworkDefinition;
let network: Network;
let box: string;
const scratch = mkdtempSync(join(tmpdir(), 'attach-'));
/** The hypervisors' descriptors. */
const theirs = new Map<string, number>();

beforeAll(async () => {
  build = await loadBuild();
});

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

beforeEach(async () => {
  lab = new Lab(`att${Math.random().toString(36).slice(2, 6)}`);
  box = lab.addNamespace('box');
  const nic = { nics: [{ name: 'nic0', segment: 'lan', mac: '', mtu: 1500 }] };
  const common = { segment: 'lan', mtu: 1500 };
  definition = {
    network: lab.network(),
    segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
    guests: { a: nic, b: nic },
    ports: {
      box: { kind: 'device', device: 'eth0', netns: box, addresses: ['10.7.0.1/24'], ...common },
      up: { kind: 'external', device: VETH, addresses: ['10.7.0.9/24'], ...common },
    },
  } as unknown as NetworkDefinition;
  network = await build.network.Network.open(definition);
  for (const guest of GUESTS) theirs.set(guest, build.sys.duplicateFd(network.tapFd(`${guest}/nic0`)));
});

afterEach(async () => {
  try {
    await network.close();
  } finally {
    for (const fd of theirs.values()) build.sys.closeFd(fd);
    theirs.clear();
    await build.network.deleteNamespace(network.namespace);
    lab.close();
  }
});

const taps = () =>
  new Map([...theirs].map(([guest, fd]) => [`${guest}/nic0`, build.sys.duplicateFd(fd)] as const));

/** The switch dies with everything it had open, and another takes up what is left. */
async function crash(): Promise<Hold> {
  const { devices } = network;
  network.outlive();
  await network.leave();
  return attach(devices);
}

async function attach(devices: Readonly<Record<string, string>>): Promise<Hold> {
  const remains = { devices, taps: taps() };
  const attached = await build.network.Network.attachHeld(definition, 20_000, remains);
  network = attached.network;
  return attached.hold;
}

const send = (guest: string, ...frames: Buffer[]): void => {
  for (const bytes of frames) writeSync(theirs.get(guest)!, Buffer.concat([Buffer.alloc(VNET), bytes]));
};

/** Numbers of the test's frames that a hypervisor reads now. */
function read(guest: string): number[] {
  const found: number[] = [];
  const buffer = Buffer.alloc(70_000);
  for (;;) {
    try {
      const bytes = Buffer.from(buffer.subarray(VNET, readSync(theirs.get(guest)!, buffer)));
      if (bytes.readUInt16BE(12) === TEST_TYPE) found.push(numberOf(bytes));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return found;
      throw error;
    }
  }
}

async function readSome(guest: string, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let tries = 0; found.length < count && tries < 500; tries++) {
    found.push(...read(guest));
    if (found.length < count) await sleep(5);
  }
  return found;
}

/** Unicast from a to b, so that nobody else is concerned. */
const toB = (n: number): Buffer => frame(n, { from: station(1), to: station(2) });
const learn = async (): Promise<void> => {
  send('b', frame(0, { from: station(2), to: station(1) }));
  await readSome('a', 1);
};

const saved = (n: number): InflightFrame => ({
  sequence: n,
  timeNs: BigInt(n),
  ingress: 'a/nic0',
  destinations: ['b/nic0'],
  vnet: new Uint8Array(VNET),
  bytes: toB(n),
});

const restore = (hold: Hold, ...frames: InflightFrame[]): Promise<void> =>
  hold.restore({ frames, stations: [], nonces: [], cookies: [], addresses: [] });

/** Reads for the guests while `work` runs: they are alive. */
async function alive<T>(work: () => Promise<T>): Promise<T> {
  let done = false;
  const reading = (async () => {
    while (!done) {
      for (const guest of GUESTS) read(guest);
      await sleep(0);
    }
  })();
  try {
    return await work();
  } finally {
    done = true;
    await reading;
  }
}

/** With a hold file, as the daemon opens it. */
async function reopen(): Promise<string> {
  await network.close();
  const holdFile = join(scratch, 'held');
  network = await build.network.Network.open(definition, { holdFile });
  for (const guest of GUESTS) {
    build.sys.closeFd(theirs.get(guest)!);
    theirs.set(guest, build.sys.duplicateFd(network.tapFd(`${guest}/nic0`)));
  }
  return holdFile;
}

describe('what was held', () => {
  test('survives one switch after the other until it is delivered, once', async () => {
    const holdFile = await reopen();
    const recovered = async (): Promise<number[]> =>
      (await recoverHeld(holdFile))
        .map(({ bytes }) => Buffer.from(bytes))
        .filter((bytes) => bytes.readUInt16BE(12) === TEST_TYPE)
        .map(numberOf);
    await learn();
    await network.holdAsIs({ leaseMs: 20_000 });
    for (let n = 1; n <= 5; n++) send('a', toB(n));
    await expect.poll(recovered).toEqual([1, 2, 3, 4, 5]);
    const { devices } = network;
    for (const more of [6, 7]) {
      network.outlive();
      await network.leave();
      const frames = await recoverHeld(holdFile);
      const remains = { devices, taps: taps() };
      const attached = await build.network.Network.attachHeld(definition, 20_000, remains, { holdFile });
      network = attached.network;
      if (more === 6) {
        // This one dies before it has taken anything over, the next one after it has.
        await network.leave();
        expect(await recovered()).toEqual([1, 2, 3, 4, 5]);
        network = (
          await build.network.Network.attachHeld(definition, 20_000, { devices, taps: taps() }, { holdFile })
        ).network;
      }
      await restore(network.currentHold!, ...frames);
      send('a', toB(more));
      await expect.poll(recovered).toContain(more);
    }
    await network.currentHold!.release();
    expect(await readSome('b', 7)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    await expect.poll(recovered).toEqual([]);
    await network.close();
    expect(existsSync(holdFile)).toBe(false);
  });
});

describe('attaching', () => {
  test('recovered frames first, then what came since; the ledger comes out; the next cut is proven', async () => {
    await learn();
    const hold = await crash();
    send('a', toB(20), toB(21)); // waits in the socket until the recovered frames are in their queues
    await restore(hold, saved(10), saved(11), saved(12));
    await hold.release();
    expect(await readSome('b', 5)).toEqual([10, 11, 12, 20, 21]);
    expect(imbalances((await network.ledger()).ports)).toEqual([]);
    const mark = await alive(async () => {
      const next = await network.hold({ bounds: { drainMs: 2000 } });
      send('a', toB(30));
      const marked = await next.mark();
      await next.release();
      return marked;
    });
    expect(mark.verdicts.filter(({ proven }) => !proven)).toEqual([]);
    const { up } = mark.evidence.find(({ port }) => port === 'a/nic0')!;
    expect(up.deviceFrames).toBe(3); // since it was attached: what came before is no business of this switch
  });

  test('while guests send at full speed: nothing is claimed that is not so, and a quiet cut is proven', async () => {
    const sending = (async () => {
      for (let n = 0; n < 3000; n++) {
        send('a', toB(n));
        if (n % 20 === 0) await sleep(0);
      }
    })();
    const hold = await crash();
    await hold.release();
    const mark = await alive(async () => {
      await sending;
      const next = await network.hold({ bounds: { drainMs: 2000 } });
      const marked = await next.mark();
      await next.release();
      return marked;
    });
    const { up } = mark.evidence.find(({ port }) => port === 'a/nic0')!;
    expect(up.deviceFrames).toBe(up.receivedFrames);
    expect(mark.proven).toBe(true);
  });

  test('a ring full of unread frames is not overrun', async () => {
    await learn();
    for (let n = 0; n < 250; n++) send('a', toB(n));
    await sleep(100);
    const hold = await crash();
    await restore(hold, ...Array.from({ length: 1000 }, (_, n) => saved(1000 + n)));
    await hold.release();
    await sleep(100);
    const dropped = JSON.parse(ip('-n', network.namespace, '-s', '-j', 'link')) as {
      stats64: { tx: { dropped: number } };
    }[];
    expect(dropped.every(({ stats64 }) => stats64.tx.dropped === 0)).toBe(true);
    const found = await readSome('b', 1250);
    expect(found.slice(0, 250)).toEqual(Array.from({ length: 250 }, (_, n) => n));
    expect(found.slice(250)).toEqual(Array.from({ length: 1000 }, (_, n) => 1000 + n));
  });

  test('a container keeps its interface, addresses and all; the host its own; both carry frames again', async () => {
    const index = (netns: string[], device: string): unknown =>
      (
        JSON.parse(ip(...netns, '-j', 'address', 'show', device)) as { ifindex: number; addr_info: unknown }[]
      ).map(({ ifindex, addr_info }) => ({ ifindex, addr_info }));
    const before = [index(['-n', box], 'eth0'), index([], VETH)];
    ip('-n', box, 'route', 'add', '10.99.0.0/16', 'via', '10.7.0.2');
    const hold = await crash();
    await hold.release();
    expect([index(['-n', box], 'eth0'), index([], VETH)]).toMatchObject(before);
    expect(ip('-n', box, 'route')).toContain('10.99.0.0/16');
    const receiver = lab.start(box, 'udp.mjs', 'receive', '10.7.0.1', 7000, 500);
    await receiver.ready;
    const socket = createSocket('udp4');
    await alive(async () => {
      await new Promise((resolve) => socket.send(Buffer.alloc(64), 7000, '10.7.0.1', resolve));
      expect(await receiver.result).toMatchObject({ received: 1 });
    });
    socket.close();
  });

  test('it can be left and taken up again, at any number of times; the end leaves nothing', async () => {
    const { devices } = network;
    for (let i = 0; i < 3; i++) {
      await crash();
      expect(network.devices).toEqual(devices);
    }
    await network.currentHold?.release();
    await network.close();
    expect(ip('-n', box, '-br', 'link')).not.toContain('eth0');
    expect(ip('-br', 'link')).not.toContain(VETH);
    expect(ip('netns')).not.toContain(network.namespace);
  });

  test('ports whose devices are gone are made anew', async () => {
    const { devices } = network;
    await network.leave(); // the device ports were not to outlive it
    build.sys.closeFd(theirs.get('b')!);
    theirs.delete('b');
    ip('link', 'delete', VETH);
    const hold = await attach(devices);
    await hold.release();
    expect(ip('-n', box, 'address', 'show', 'eth0')).toContain('10.7.0.1/24');
    expect(ip('address', 'show', VETH)).toContain('10.7.0.9/24');
    expect((await network.ledger()).ports).toHaveLength(4);
  });

  test('a failure leaves everything as it was: the next attempt succeeds', async () => {
    const { devices } = network;
    network.outlive();
    await network.leave();
    const remains = { devices: { ...devices, 'b/nic0': 'no-such' }, taps: taps() };
    await expect(build.network.Network.attachHeld(definition, 20_000, remains)).rejects.toThrow(/ENODEV/);
    expect(ip('-n', box, '-br', 'link')).toContain('eth0');
    const hold = await attach(devices);
    await restore(hold, saved(1));
    await hold.release();
    expect(await readSome('b', 1)).toEqual([1]);
  });

  test('a namespace that is gone is told', async () => {
    const { devices } = network;
    await network.close();
    await expect(attach(devices)).rejects.toMatchObject({ code: 'NETWORK_STALE' });
  });
});
