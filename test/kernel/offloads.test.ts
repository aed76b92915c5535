/**
 * Offloads and MTUs through real devices: super-frames of TCP and UDP, unfinished checksums and jumbo frames, tagged or
 * not, to TAPs whose guests take all of it, some of it or nothing, to datagram sockets, to a container and to the host.
 * This process plays the hypervisors, the container and the host.
 */
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NetworkDefinition } from '../../src/definition/definition.js';
import type { Network } from '../../src/network/index.js';
import { FrameList, FrameMemory } from '../../src/port/batch.js';
import { PacketReceiver } from '../../src/port/packet-receiver.js';
import { imbalances } from '../../src/switch/index.js';
import {
  expected,
  filled,
  made,
  parse,
  shapes,
  TAKES_ALL,
  TAKES_NOTHING,
  text,
  UFO,
  VLAN,
  VNET,
  type Arrived,
  type Sent,
  type Takes,
} from '../pure/guest-frames.js';
import { loadBuild } from './build.js';
import { ip, Lab } from './lab.js';

const lab = new Lab('off');
const JUMBO_MTU = 9000;
let build: Awaited<ReturnType<typeof loadBuild>>;
let network: Network;
let home: number;

interface Peer {
  readonly takes: Takes;
  readonly mtu: number;
  readonly vlan?: number;
  readonly plain?: boolean;
  /** What has come since the last call. */
  readonly read: () => Arrived[];
}
const peers = new Map<string, Peer>();

const none = TAKES_NOTHING;
const GUESTS: Record<string, { takes: Takes; mtu?: number; vlan?: number; dgram?: boolean }> = {
  all: { takes: TAKES_ALL, mtu: JUMBO_MTU },
  'no-uso': { takes: { ...TAKES_ALL, uso: false } },
  'only-tso4': { takes: { ...none, csum: true, tso4: true } },
  'only-csum': { takes: { ...none, csum: true } },
  nothing: { takes: none },
  'jumbo-nothing': { takes: none, mtu: JUMBO_MTU },
  'access-all': { takes: TAKES_ALL, vlan: VLAN },
  'access-nothing': { takes: none, vlan: VLAN },
  dgram: { takes: none, dgram: true },
  'access-dgram': { takes: none, dgram: true, vlan: VLAN },
};

function offloadBits({ csum, tso4, tso6, uso }: Takes): number {
  const { OFFLOAD } = build.sys;
  const udp = uso ? OFFLOAD.uso4 | OFFLOAD.uso6 : 0;
  return (
    (csum ? OFFLOAD.csum : 0) | (tso4 ? OFFLOAD.tso4 | OFFLOAD.ecn : 0) | (tso6 ? OFFLOAD.tso6 : 0) | udp
  );
}

/** Reads until there is nothing more. */
function readAll(read: (buffer: Buffer) => number): Buffer[] {
  const found: Buffer[] = [];
  const buffer = Buffer.alloc(70_000);
  for (let length = read(buffer); length > 0; length = read(buffer)) {
    found.push(Buffer.from(buffer.subarray(0, length)));
  }
  return found;
}

function readTap(fd: number): Arrived[] {
  const read = (buffer: Buffer): number => {
    try {
      return readSync(fd, buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
      throw error;
    }
  };
  return readAll(read).map((both) => ({ vnet: both.subarray(0, VNET), bytes: both.subarray(VNET) }));
}

const readSocket = (fd: number): Arrived[] =>
  readAll((buffer) => build.sys.readDatagram(fd, buffer)).map((bytes) => ({
    vnet: Buffer.alloc(VNET),
    bytes,
  }));

/** What the owner of a device sees come in. The namespace is the device's. */
function watch(namespace: string, device: string): () => Arrived[] {
  build.sys.enterNamespace(build.sys.namespacePath(namespace));
  const socket = build.sys.openPacketSocket(build.sys.linkIndex(device), 64 << 20);
  build.sys.enterNamespace(`/proc/self/fd/${home}`);
  const memory = new FrameMemory();
  const receiver = new PacketReceiver(memory);
  const list = new FrameList();
  return () => {
    const found: Arrived[] = [];
    while (receiver.receive(socket, list) > 0) {
      for (let i = 0; i < list.count; i++) {
        const { slot, start, length } = {
          slot: list.slot[i]!,
          start: list.start[i]!,
          length: list.length[i]!,
        };
        found.push({
          vnet: Buffer.from(memory.bytes.subarray(slot, slot + VNET)),
          bytes: Buffer.from(memory.bytes.subarray(start, start + length)),
        });
      }
    }
    return found;
  };
}

const WITHOUT = ['tso', 'off', 'gso', 'off', 'tx', 'off', 'rx', 'off', 'gro', 'off'];
const ethtool = (namespace: string, device: string, ...words: string[]): string =>
  execFileSync('ip', ['netns', 'exec', namespace, 'ethtool', '-K', device, ...words], {
    stdio: 'pipe',
  }).toString();

beforeAll(async () => {
  build = await loadBuild();
  home = build.sys.openFd('/proc/thread-self/ns/net', build.sys.O_RDONLY);
  const [host, box] = [lab.addNamespace('host'), lab.addNamespace('box')];
  for (const namespace of [host, box]) {
    build.sys.enterNamespace(build.sys.namespacePath(namespace));
    build.sys.silenceNamespace();
  }
  build.sys.enterNamespace(`/proc/self/fd/${home}`);
  const nic = { name: 'nic0', segment: 'lan', mac: '' };
  const guests = Object.entries(GUESTS).map(([name, { mtu = 1500, vlan, dgram }]) => [
    name,
    { nics: [{ ...nic, mtu, ...(vlan && { vlan }), ...(dgram && { transport: 'dgram' }) }] },
  ]);
  const veth = `swo${process.pid}`;
  const common = { segment: 'lan', addresses: [], mtu: 1500 };
  network = await build.network.Network.open({
    network: lab.network(),
    segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
    guests: { sender: { nics: [{ ...nic, mtu: JUMBO_MTU }] }, ...(Object.fromEntries(guests) as object) },
    ports: {
      box: { kind: 'device', device: 'eth0', netns: box, ...common },
      up: { kind: 'external', device: veth, ...common },
    },
  } as unknown as NetworkDefinition);
  ip('link', 'set', veth, 'netns', host, 'up'); // nobody else's frames
  for (const [name, { takes, mtu = 1500, vlan = 0, dgram = false }] of Object.entries(GUESTS)) {
    const fd = network.tapFd(`${name}/nic0`);
    if (!dgram) build.sys.acceptOffloads(fd, offloadBits(takes));
    const read = (): Arrived[] => (dgram ? readSocket(fd) : readTap(fd));
    peers.set(`${name}/nic0`, { takes, mtu, vlan, plain: dgram, read });
  }
  // A container is given super-frames whatever its offloads are: its own stack takes them, or cuts them to pass them on.
  ethtool(box, 'eth0', ...WITHOUT);
  peers.set('box', { takes: TAKES_ALL, mtu: 1500, read: watch(box, 'eth0') });
  ethtool(network.namespace, network.devices['up']!, ...WITHOUT);
  peers.set('up', { takes: none, mtu: 1500, read: watch(host, veth) });
});

afterAll(async () => {
  try {
    await (network as Network | undefined)?.close();
  } finally {
    build.sys.closeFd(home);
    lab.close();
  }
});

function send(vnet: Buffer, frame: Buffer): void {
  writeSync(network.tapFd('sender/nic0'), Buffer.concat([vnet, frame]));
}

/** Every shape there is, no segment of it longer than 1,500; and some longer, up to jumbo frames. */
function frames(count: number, seed: number): Sent[] {
  const arbitrary = fc.record({
    shape: fc
      .tuple(shapes, fc.integer({ min: 0, max: 1 }), fc.constantFrom(48, 536, 1219, 8000), fc.boolean())
      .map(([shape, tags, size, long]) => {
        const payload = filled(shape.payload.length * (long && size > 1000 ? 11 : 1) + 1, size);
        return { ...shape, tags, size, payload, jumbo: false };
      }),
    kind: fc.constantFrom('whole' as const, 'sum' as const, 'super' as const),
    turn: fc.constant(false),
  });
  // Beyond the sender's own MTU it sends super-frames only.
  return fc
    .sample(arbitrary, { numRuns: count, seed })
    .map((sent) => (sent.shape.payload.length > 8800 ? { ...sent, kind: 'super' } : sent));
}

/** The veth was the host's for a moment, whose stack has said something through it. */
const isOurs = ({ bytes }: Arrived): boolean => bytes.toString('hex', 6, 12) === '020000000001';

test('TAPs of any offloads, datagrams, a container, the host: the same payloads, checksums right, each in frames it takes', async () => {
  let told = 0;
  for (let round = 0; round < 6; round++) {
    const sent = frames(40, round);
    const before = new Map(
      (await network.ledger()).ports.map(({ port, egress }) => [port, egress.dropped.oversize]),
    );
    for (const each of sent) {
      const { vnet, frame } = made(each);
      send(vnet, frame);
    }
    for (const [id, { takes, mtu, vlan = 0, plain = false, read }] of peers) {
      const due = sent.map((each) => expected(each, 0, { plain, vlan, mtu }));
      const wanted = text(due);
      const got: ReturnType<typeof parse>[] = [];
      for (let tries = 0; text(got).length < wanted.length && tries < 200; tries++) {
        if (tries > 0) await sleep(5);
        got.push(
          ...read()
            .filter(isOurs)
            .map((arrived) => parse(arrived, takes)),
        );
      }
      expect(
        text(got).map(({ length }) => length),
        id,
      ).toEqual(wanted.map(({ length }) => length));
      expect(text(got), id).toEqual(wanted);
      expect(got.flatMap(({ tags, payloads }) => payloads.map(() => tags.length))).toEqual(
        due.flatMap(({ tags, payloads }) => payloads.map(() => tags)),
      );
      const whole = due.filter(({ payloads }) => payloads.length > 0).length;
      if (takes === TAKES_ALL) expect(got, id).toHaveLength(whole); // nothing was cut on the way
      const lost = due.reduce((sum, { oversize }) => sum + oversize, 0);
      const { dropped } = (await network.ledger()).ports.find(({ port }) => port === id)!.egress;
      expect(dropped, id).toMatchObject({ oversize: before.get(id)! + lost, refused: 0, offload: 0 });
      told += lost;
    }
  }
  expect(told).toBeGreaterThan(100);
  expect(imbalances((await network.ledger()).ports)).toEqual([]);
});

test('an offload that the kernel cannot tell us of costs that frame, and is counted; the cut is proven all the same', async () => {
  const [shape] = fc.sample(shapes, { numRuns: 1, seed: 1 });
  const lie = made({
    shape: {
      ...shape!,
      version: 4,
      protocol: 'udp',
      tags: 0,
      jumbo: false,
      payload: filled(4000, 1),
      size: 1480,
    },
    kind: 'super',
    turn: false,
  });
  const good = made({
    shape: { ...shape!, tags: 0, jumbo: false, payload: filled(100, 1) },
    kind: 'whole',
    turn: false,
  });
  const sender = async () =>
    (await network.ledger()).ports.find(({ port }) => port === 'sender/nic0')!.ingress;
  const before = await sender();
  lie.vnet[1] = UFO;
  send(lie.vnet, lie.frame);
  send(good.vnet, good.frame);
  send(lie.vnet, lie.frame);
  for (let tries = 0; (await sender()).received < before.received + 3 && tries < 200; tries++) await sleep(5);
  expect((await sender()).discarded.malformed).toBe(before.discarded.malformed + 2);
  const reading = setInterval(() => {
    for (const { read } of peers.values()) read();
    readTap(network.tapFd('sender/nic0'));
  }, 1);
  try {
    const hold = await network.hold({ leaseMs: 5000 });
    const mark = await hold.mark();
    expect(mark.verdicts.filter(({ proven }) => !proven)).toEqual([]);
    await mark.unpin();
    await hold.release();
  } finally {
    clearInterval(reading);
  }
});
