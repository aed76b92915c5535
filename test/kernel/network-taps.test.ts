/** A network of guest TAPs; this process plays the hypervisors: it reads and writes the tun descriptors. */
import { readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { getPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { NetworkDefinition } from '../../src/definition/definition.js';
import type { Hold, Network } from '../../src/network/index.js';
import { imbalances, type PortLedger } from '../../src/switch/index.js';
import { BROADCAST, frame, numberOf, station, tagOf } from '../pure/frames.js';
import { loadBuild } from './build.js';
import { ip, Lab } from './lab.js';

const lab = new Lab('tap');
const VNET = 10;
const SENTINEL = 0x88b5;
let network: Network;

beforeAll(async () => {
  const build = await loadBuild();
  const nic = (mtu: number, vlan?: number) => ({
    nics: [{ name: 'nic0', segment: 'lan', mac: '', mtu, ...(vlan && { vlan }) }],
  });
  network = await build.network.Network.open({
    network: lab.network(),
    segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
    guests: { a: nic(1500), b: nic(1500), five: nic(1500, 5) },
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

const fd = (guest: string): number => network.tapFd(`${guest}/nic0`);

/** The guest sends frames. */
function send(guest: string, ...frames: Buffer[]): void {
  for (const bytes of frames) writeSync(fd(guest), Buffer.concat([Buffer.alloc(VNET), bytes]));
}

/** What the hypervisor of a guest finds in its TAP now, sentinels too. */
function readAll(guest: string, most = Number.POSITIVE_INFINITY): Buffer[] {
  const found: Buffer[] = [];
  const buffer = Buffer.alloc(70_000);
  while (found.length < most) {
    try {
      const length = readSync(fd(guest), buffer);
      found.push(Buffer.from(buffer.subarray(VNET, length)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      break;
    }
  }
  return found;
}

const isSentinel = (bytes: Buffer): boolean => bytes.readUInt16BE(12) === SENTINEL;

/** Reads until `count` frames that are no sentinels have come. */
async function readFrames(guest: string, count: number): Promise<Buffer[]> {
  const found: Buffer[] = [];
  for (let tries = 0; found.length < count && tries < 500; tries++) {
    found.push(...readAll(guest).filter((bytes) => !isSentinel(bytes)));
    if (found.length < count) await sleep(5);
  }
  return found;
}

async function row(guest: string): Promise<PortLedger> {
  return (await network.ledger()).ports.find(({ port }) => port === `${guest}/nic0`)!;
}

/** tx_dropped of every TAP of the network. */
function drops(): number[] {
  const links = JSON.parse(ip('-n', network.namespace, '-s', '-j', 'link')) as {
    ifname: string;
    stats64: { tx: { dropped: number } };
  }[];
  return links.filter(({ ifname }) => ifname.startsWith('tap')).map(({ stats64 }) => stats64.tx.dropped);
}

/** A hypervisor that reads whatever comes while `work` runs. */
async function whileReading<T>(
  guests: string[],
  work: () => Promise<T>,
): Promise<{ result: T; read: Map<string, Buffer[]> }> {
  const read = new Map<string, Buffer[]>(guests.map((guest) => [guest, []]));
  let done = false;
  const reading = (async () => {
    while (!done) {
      for (const guest of guests) read.get(guest)!.push(...readAll(guest));
      await sleep(0);
    }
  })();
  try {
    return { result: await work(), read };
  } finally {
    done = true;
    await reading;
  }
}

/** Reads every ring and queue empty. */
async function settle(): Promise<void> {
  for (let still = true; still;) {
    await sleep(20);
    const read = ['a', 'b', 'five'].flatMap((guest) => readAll(guest));
    still = read.length > 0 || (await network.ledger()).ports.some(({ egress }) => egress.held > 0);
  }
}

afterEach(async () => {
  await (network as Network | undefined)?.currentHold?.release(); // of a test that failed
});

test('tags: into an access port, out of it, and between trunks, through real TAPs', async () => {
  await settle();
  send('five', frame(1, { from: station(5), to: BROADCAST }));
  const [tagged] = await readFrames('a', 1);
  expect([tagOf(tagged!), numberOf(tagged!)]).toEqual([5, 1]);
  send(
    'a',
    frame(2, { tag: 0x6005, from: station(1) }),
    frame(3, { tag: 6, from: station(1) }),
    frame(4, { from: station(1) }),
  );
  const onB = await readFrames('b', 4);
  expect(onB.map((bytes) => [numberOf(bytes), tagOf(bytes)])).toEqual([
    [1, 5],
    [2, 5],
    [3, 6],
    [4, undefined],
  ]);
  expect(onB[1]!.readUInt16BE(14)).toBe(0x6005); // priority kept
  expect((await readFrames('five', 1)).map((bytes) => [numberOf(bytes), tagOf(bytes)])).toEqual([
    [2, undefined],
  ]);
});

test('a reader that stands still never has more than 256 unread, nothing is dropped, and all arrives in order', async () => {
  await settle();
  const before = drops();
  const start = (await row('b')).egress.sent;
  for (let n = 0; n < 1000; n++) {
    send('a', frame(n, { to: station(66), from: station(1) }));
    if (n % 50 === 0) await sleep(2);
  }
  await sleep(100);
  const sent = (await row('b')).egress.sent - start;
  expect(sent).toBeGreaterThan(0);
  expect(sent).toBeLessThanOrEqual(256); // fewer: the number unread is only known from above
  const found = await readFrames('b', 1000);
  expect(found.map(numberOf)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  expect(drops()).toEqual(before);
  expect(imbalances((await network.ledger()).ports)).toEqual([]);
});

test('its switch thread, and no other of the process, gets a processor before others, where it may', () => {
  const may =
    (BigInt(`0x${/^CapEff:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!}`) >> 23n) & 1n;
  const own = getPriority(process.pid);
  const others = readdirSync('/proc/self/task')
    .map((thread) => getPriority(Number(thread)))
    .filter((nice) => nice !== own);
  expect(others).toEqual(may === 1n ? [Math.max(-20, own - 10)] : []);
});

describe('the proof', () => {
  const verdict = (mark: Awaited<ReturnType<Hold['mark']>>, guest: string) =>
    mark.verdicts.find(({ port }) => port === `${guest}/nic0`)!;

  test('a guest that reads is proven, its sentinel came last; what came during the hold is in the mark', async () => {
    await settle();
    const { result: hold, read } = await whileReading(['a', 'b', 'five'], async () => {
      for (let n = 0; n < 100; n++) send('a', frame(n, { from: station(1) }));
      return network.hold({ bounds: { drainMs: 2000 } });
    });
    const onB = read.get('b')!;
    expect(isSentinel(onB.at(-1)!)).toBe(true);
    send('a', frame(1000), frame(1001));
    const mark = await hold.mark();
    expect(mark.verdicts.every(({ proven }) => proven)).toBe(true);
    const inflight = (await mark.frames()).map(({ bytes }) => numberOf(Buffer.from(bytes)));
    expect(inflight.slice(-2)).toEqual([1000, 1001]);
    const delivered = onB.filter((bytes) => !isSentinel(bytes)).map(numberOf);
    expect([...delivered, ...inflight]).toEqual([...Array.from({ length: 100 }, (_, n) => n), 1000, 1001]);
    await hold.release();
    expect((await readFrames('b', inflight.length)).map(numberOf)).toEqual(inflight);
  });

  test('a guest that does not read is unproven; its frames come to it later, in order', async () => {
    await settle();
    for (let n = 0; n < 400; n++) send('a', frame(n, { to: station(66), from: station(1) }));
    await sleep(50);
    const taken = readAll('b', 1); // as a hypervisor does whose guest takes nothing
    const hold = await network.hold({ unready: 'keep' });
    readAll('a');
    const mark = await hold.mark();
    expect(verdict(mark, 'b')).toMatchObject({
      proven: false,
      reason: expect.stringContaining('read') as string,
    });
    expect(mark.frameCount).toBe(400); // those in its ring are in flight like any other
    await hold.release();
    const found = [...taken, ...(await readFrames('b', 399))];
    expect(found.map(numberOf)).toEqual(Array.from({ length: 400 }, (_, n) => n));
    expect(drops()).toEqual([0, 0, 0]);
  });

  test('holds tried in vain do not fill the ring with sentinels', async () => {
    await settle();
    for (let n = 0; n < 300; n++) send('a', frame(n, { to: station(66), from: station(1) }));
    await sleep(50);
    for (let i = 0; i < 80; i++) {
      const refused = network.hold({ bounds: { drainMs: 1 } });
      await expect(refused).rejects.toMatchObject({ code: 'PORT_UNREADY' });
    }
    // The switch sends on as soon as there is room: what is read may be more than the ring held.
    const found = readAll('b');
    expect(found.filter(isSentinel).length).toBeLessThanOrEqual(128); // of 160: SENTINEL_RESERVE
    expect(drops()).toEqual([0, 0, 0]);
    const frames = found.filter((bytes) => !isSentinel(bytes));
    frames.push(...(await readFrames('b', 300 - frames.length)));
    expect(frames.map(numberOf)).toEqual(Array.from({ length: 300 }, (_, n) => n));
  });

  test('the way up: as many received as the device took, also while the guest sends on', async () => {
    await settle();
    const { result: mark } = await whileReading(['a', 'b', 'five'], async () => {
      const hold = await network.hold();
      for (let n = 0; n < 500; n++) send('a', frame(n, { from: station(1) }));
      const marked = await hold.mark();
      await hold.release();
      return marked;
    });
    const { up } = mark.evidence.find(({ port }) => port === 'a/nic0')!;
    expect(up.deviceFrames).toBe(up.receivedFrames);
    expect(up).toMatchObject({ socketDrops: 0, queueEmpty: true });
    expect(verdict(mark, 'a').proven).toBe(true);
    expect(mark.frameCount).toBe(500);
  });
});

test('a guest that bridges two NICs sends a sentinel back: it goes no further and teaches nothing', async () => {
  await settle();
  const { read } = await whileReading(['a', 'b', 'five'], async () => {
    const hold = await network.hold();
    await hold.release();
  });
  const sentinel = read.get('b')!.find(isSentinel)!;
  const before = (await row('a')).ingress;
  send(
    'a',
    sentinel,
    Buffer.concat([sentinel.subarray(0, 12), Buffer.from([0x81, 0, 0, 9]), sentinel.subarray(12)]),
  );
  await sleep(50);
  const after = (await row('a')).ingress;
  expect(after.discarded.swallowed - before.discarded.swallowed).toBe(2);
  expect(after.switched).toBe(before.switched);
  expect(readAll('b')).toEqual([]);
  const forged = Buffer.from(sentinel);
  forged[30] = forged[30]! ^ 1;
  send('a', forged);
  await sleep(50);
  expect(readAll('b')).toHaveLength(1);
});
