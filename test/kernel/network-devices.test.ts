/** A network of plain TAPs in three namespaces, from outside: traffic, holds, leases, and what is left behind. */
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type {
  NetworkDefinition,
  PortDefinition,
  DevicePortDefinition,
} from '../../src/definition/definition.js';
import type { StillwireError } from '../../src/errors/index.js';
import type { Network } from '../../src/network/index.js';
import { imbalances } from '../../src/switch/index.js';
import { loadBuild } from './build.js';
import { ip, Lab, openDescriptors } from './lab.js';

const lab = new Lab('dev');
let build: Awaited<ReturnType<typeof loadBuild>>;
let network: Network;
const ns: Record<string, string> = {};
const open: Network[] = [];

const device = (
  netns: string,
  address: string,
  more: Partial<DevicePortDefinition> = {},
): PortDefinition => ({
  kind: 'device',
  segment: 'lan',
  device: 'eth0',
  netns,
  addresses: [address],
  mtu: 1500,
  ...more,
});

const definition = (name: string, ports: Record<string, PortDefinition>): NetworkDefinition => ({
  network: name,
  segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
  guests: {},
  ports,
});

async function start(given: NetworkDefinition): Promise<Network> {
  const opened = await build.network.Network.open(given);
  open.push(opened);
  return opened;
}

async function balances(): Promise<void> {
  expect(imbalances((await network.ledger()).ports)).toEqual([]);
}

beforeAll(async () => {
  build = await loadBuild();
  for (const name of ['a', 'b', 'c']) ns[name] = lab.addNamespace(name);
  network = await start(
    definition(lab.network(), {
      a: device(ns['a']!, '10.9.0.1/24'),
      b: device(ns['b']!, '10.9.0.2/24'),
      c: device(ns['c']!, '10.9.0.3/24', { vlan: 5 }),
    }),
  );
});

afterAll(async () => {
  try {
    for (const one of open) await one.close();
  } finally {
    lab.close();
  }
});

/** Sends both ways between a and b while `meanwhile` runs; what each side saw. */
async function bothWays(count: number, perMs: number, meanwhile: () => Promise<void>) {
  const inA = lab.start(ns['a']!, 'udp.mjs', 'receive', '10.9.0.1', 7000, 1500);
  const inB = lab.start(ns['b']!, 'udp.mjs', 'receive', '10.9.0.2', 7000, 1500);
  await Promise.all([inA.ready, inB.ready]);
  const sends = [
    lab.start(ns['a']!, 'udp.mjs', 'send', '10.9.0.2', 7000, count, perMs),
    lab.start(ns['b']!, 'udp.mjs', 'send', '10.9.0.1', 7000, count, perMs),
  ];
  await meanwhile();
  await Promise.all(sends.map(({ result }) => result));
  return Promise.all([inA.result, inB.result]);
}

const whole = (count: number) => ({ received: count, duplicated: 0, reordered: 0 });

describe('traffic', () => {
  test('holds, marks and releases in full flow lose, double and reorder nothing', async () => {
    let inflight = 0;
    const seen = await bothWays(4000, 2, async () => {
      await sleep(400);
      for (let i = 0; i < 8; i++) {
        const hold = await network.hold({ leaseMs: 3000 });
        await sleep(40);
        const mark = await hold.mark();
        const released = network.nextRelease(2000);
        await hold.release();
        const frames = await mark.frames();
        expect(frames).toHaveLength(mark.frameCount);
        expect(frames.every(({ destinations }) => destinations.length > 0)).toBe(true);
        inflight += frames.length;
        await mark.unpin();
        await expect(mark.frames()).rejects.toThrow(/no mark/);
        expect(await released).toMatchObject({ notice: 'released' });
        await sleep(60);
      }
    });
    expect(seen).toMatchObject([whole(4000), whole(4000)]);
    expect(inflight).toBeGreaterThan(100);
    await balances();
  });

  test('TCP bulk goes through whole, in super-frames', async () => {
    const before = (await network.ledger()).ports.find(({ port }) => port === 'b')!.egress;
    const bytes = 60_000_000;
    const server = lab.start(ns['b']!, 'tcp.mjs', 'serve', '10.9.0.2', 7001);
    await server.ready;
    const client = lab.start(ns['a']!, 'tcp.mjs', 'send', '10.9.0.2', 7001, bytes);
    await sleep(100);
    const hold = await network.hold({ leaseMs: 3000 });
    await hold.release();
    const [got, sent] = await Promise.all([server.result, client.result]);
    expect(got).toEqual(sent);
    expect(got['bytes']).toBe(bytes);
    const after = (await network.ledger()).ports.find(({ port }) => port === 'b')!.egress;
    expect((after.bytes - before.bytes) / (after.sent - before.sent)).toBeGreaterThan(5000);
    await balances();
  });
});

describe('holds', () => {
  test('nothing passes during one; a second is refused; everything passes after', async () => {
    const hold = await network.hold({ leaseMs: 5000 });
    await expect(network.hold()).rejects.toMatchObject({ code: 'NETWORK_HELD' });
    expect(network.currentHold).toBe(hold);
    const seen = await (async () => {
      const receiver = lab.start(ns['b']!, 'udp.mjs', 'receive', '10.9.0.2', 7003, 800);
      await receiver.ready;
      const before = (await network.ledger()).ports.map(({ egress }) => egress.sent);
      await lab.start(ns['a']!, 'udp.mjs', 'send', '10.9.0.2', 7003, 50, 1).result;
      expect((await network.ledger()).ports.map(({ egress }) => egress.sent)).toEqual(before);
      await hold.release();
      return receiver.result;
    })();
    expect(seen).toMatchObject(whole(50));
    expect(hold.state).toBe('released');
    await hold.release(); // a second time is nothing
    await expect(hold.mark()).rejects.toMatchObject({ code: 'HOLD_EXPIRED' });
    expect(() => hold.renew()).toThrow(/released/);
  });

  test('a lease that runs out lets traffic flow; what is done in its name afterwards fails', async () => {
    const hold = await network.hold({ leaseMs: 150 });
    await sleep(400);
    expect([hold.state, hold.signal.aborted, network.currentHold]).toEqual(['expired', true, undefined]);
    expect((await network.ledger()).held).toBe(false);
    await expect(hold.mark()).rejects.toMatchObject({ code: 'HOLD_EXPIRED' });
    expect(() => hold.renew()).toThrow(/lease/);
    const next = await network.hold({ leaseMs: 150 });
    await hold.release(); // the late owner must not end the next hold
    expect((await network.ledger()).held).toBe(true);
    await next.release();
  });

  test('renewing keeps it', async () => {
    const hold = await network.hold({ leaseMs: 150 });
    for (let i = 0; i < 5; i++) {
      await sleep(70);
      hold.renew();
    }
    expect(hold.state).toBe('held');
    await hold.release();
    expect(hold.signal.aborted).toBe(false);
    await sleep(250);
    expect(hold.state).toBe('released');
  });

  test.each([0, 99, 3_600_001, Number.NaN])(
    'a lease of %s ms is refused, and nothing is held',
    async (leaseMs) => {
      await expect(network.hold({ leaseMs })).rejects.toMatchObject({ code: 'USAGE' });
      expect((await network.ledger()).held).toBe(false);
    },
  );

  test('device ports under no load are proven; method quiet never is', async () => {
    const hold = await network.hold();
    const mark = await hold.mark();
    await hold.release();
    expect(mark.verdicts).toEqual(['a', 'b', 'c'].map((port) => ({ port, proven: true })));
    const quiet = await network.hold({ method: 'quiet', bounds: { quietMs: 20 } });
    const other = await quiet.mark();
    await quiet.release();
    expect([other.method, other.proven]).toEqual(['quiet', false]);
  });

  test('an abort in the middle of the drain ends the hold', async () => {
    const signal = AbortSignal.timeout(30);
    await expect(network.hold({ method: 'quiet', bounds: { quietMs: 2000 }, signal })).rejects.toThrow();
    expect((await network.ledger()).held).toBe(false);
    expect(network.currentHold).toBeUndefined();
  });
});

/** What a descriptor of this process stands for. */
/** Whether this machine allows a ring. */
function hasRing(): boolean {
  try {
    new build.sys.Ring().close();
    return true;
  } catch {
    return false;
  }
}

function target(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

describe('what is left', () => {
  /** What this file could leave behind: others use the machine too. */
  const links = (): string[] =>
    ip('-br', 'link')
      .split('\n')
      .filter((line) => /^sw[tx]\d/.test(line));
  const stateOf = (netns: string) => ({
    fds: openDescriptors().sort(),
    links: links(),
    inside: ip('-n', netns, '-br', 'link'),
    namespaces: ip('netns')
      .split('\n')
      .filter((line) => line.includes(`${process.pid}`)),
  });
  const vethsGone = () => expect.poll(links, { timeout: 3000 }).toEqual([]);

  test('a second open of the same name fails and does not damage the first', async () => {
    const same = definition(lab.network(), { d: device(ns['a']!, '10.9.9.1/24', { device: 'eth9' }) });
    await expect(build.network.Network.open(same)).rejects.toMatchObject({
      code: expect.stringMatching(/^(NETWORK_|SYSCALL)/) as string,
    });
    expect(build.network.namespaceExists(network.namespace)).toBe(true);
    expect(ip('-n', ns['a']!, '-br', 'link')).not.toContain('eth9');
    const hold = await network.hold();
    await hold.release();
  });

  test('close leaves no namespace, device or descriptor', async () => {
    const own = lab.addNamespace('own');
    const given = definition(lab.network('-once'), {
      a: device(own, '10.8.0.1/24'),
      up: {
        kind: 'external',
        segment: 'lan',
        device: `swt${process.pid}`,
        addresses: ['10.8.0.9/24'],
        mtu: 1500,
      },
    });
    const once = async (): Promise<void> => {
      const one = await start(given);
      const hold = await one.hold();
      await hold.mark();
      await one.close(); // while held
      await one.close();
    };
    await once(); // whatever is opened once for good
    const state = () => stateOf(own);
    await vethsGone();
    const before = state();
    for (let i = 0; i < 3; i++) await once();
    await expect.poll(state, { timeout: 3000 }).toEqual(before); // the kernel ends a veth's other end a little later
  });

  test('a failed open leaves nothing, at whichever port it fails', async () => {
    const own = lab.addNamespace('fail');
    const good = device(own, '10.8.0.1/24');
    const veth: PortDefinition = {
      kind: 'external',
      segment: 'lan',
      device: `swx${process.pid}`,
      addresses: [],
      mtu: 1500,
    };
    const cases: Record<string, PortDefinition>[] = [
      { good, bad: device(`${own}-not-there`, '10.8.0.2/24') },
      { good, bad: device(own, '10.8.0.2/24') }, // the device name is taken
      { good, veth, bad: device(own, 'not an address', { device: 'eth1' }) },
      { good, veth, bad: device(own, '10.8.0.2/24', { device: 'eth1', segment: 'nowhere' }) },
      { good, veth, bad: { ...veth, addresses: ['10.8.0.9/24'] } },
    ];
    const attempt = async (ports: Record<string, PortDefinition>): Promise<void> => {
      await expect(build.network.Network.open(definition(lab.network('-fail'), ports))).rejects.toThrow();
    };
    await attempt(cases[0]!);
    const state = () => stateOf(own);
    await vethsGone();
    const before = state();
    for (const ports of cases) {
      await attempt(ports);
      await expect.poll(state, { timeout: 3000 }).toEqual(before);
    }
  });

  test('the engine that was chosen is the one that runs', async () => {
    const own = lab.addNamespace('engine');
    const one = await start(definition(lab.network('-engine'), { a: device(own, '10.8.0.1/24') }));
    const { engine } = await one.ledger();
    expect(engine).toBe(process.env['STILLWIRE_ENGINE'] === 'epoll' || !hasRing() ? 'epoll' : 'io_uring');
  });

  test('a switch thread that fails says so, and the network can still be closed', async () => {
    const own = lab.addNamespace('broken');
    const polls = () => readdirSync('/proc/self/fd').filter((fd) => /eventpoll|io_uring/.test(target(fd)));
    const before = polls();
    const one = await start(definition(lab.network('-broken'), { a: device(own, '10.8.0.1/24') }));
    const failed = new Promise<StillwireError>((resolve) => one.once('failed', resolve));
    const ofThread = polls().filter((fd) => !before.includes(fd)); // the worker's own loop has the first
    build.sys.closeFd(Math.max(...ofThread.map(Number)));
    await one.ledger().catch(() => undefined); // wakes the thread, which answers or is found out before it does
    expect((await failed).message).toMatch(/epoll|io_uring/);
    await expect(one.ledger()).rejects.toMatchObject({ code: 'INTERNAL' });
    await sleep(50);
    const closed = one.close().then(() => 'closed');
    expect(await Promise.race([closed, sleep(3000, 'still closing')])).toBe('closed');
    expect(build.network.namespaceExists(one.namespace)).toBe(false);
  });

  test('a device that goes away under its port harms nobody else and burns no processor', async () => {
    const gone = lab.addNamespace('gone');
    const stays = lab.addNamespace('stays');
    const ports = { a: device(gone, '10.8.0.1/24'), b: device(stays, '10.8.0.2/24') };
    const one = await start(definition(lab.network('-gone'), ports));
    ip('-n', gone, 'link', 'delete', 'eth0');
    await sleep(300);
    const spent = process.cpuUsage();
    await sleep(500);
    const { user, system } = process.cpuUsage(spent);
    expect((user + system) / 1000).toBeLessThan(200);
    const hold = await one.hold();
    const mark = await hold.mark();
    expect(mark.verdicts).toMatchObject([
      { port: 'a', proven: false },
      { port: 'b', proven: true },
    ]);
    await hold.release();
    await one.close();
  });
});
