/**
 * Guests that take no frames, and what becomes of those sent to them. A sender pings an address that nobody has, so every
 * request is flooded to all; each of the others bridges to a segment of its own, where it shows what has come through it:
 * once it takes frames, every number from 0 on, once and in order.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { CheckpointReport } from '../../src/checkpoint/index.js';
import type { CapturedFrame } from '../../src/switch/index.js';
import { failure, monitorArguments, openImage, PATIENCE, TrafficLab } from './traffic-lab.js';

let lab: TrafficLab;
afterEach(() => lab.end());

const SENDER = { segments: ['lan'], parameters: ['sw.if=eth0,10.1.0.1/24'] };
const KEEP = { method: 'count', unready: 'keep' } as const;
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** The number of an echo request, undefined for any other frame. */
function numberOf(frame: Uint8Array): number | undefined {
  const bytes = Buffer.from(frame);
  const isPing = bytes.readUInt16BE(12) === 0x0800 && bytes[23] === 1 && bytes[34] === 8;
  return isPing ? bytes.readUInt16BE(40) : undefined;
}

async function ping(interval: string, count = 60_000): Promise<void> {
  const sender = lab.console('sender');
  await sender.type('arp -s 10.1.0.99 02:00:00:00:00:99 && echo arp-is-set');
  await sender.said('arp-is-set', PATIENCE);
  await sender.type(`ping -c ${count} -i ${interval} -W 1 10.1.0.99 >/dev/null; echo ping-is-over`);
}

/** Ends the pings: how many there were. */
async function pingsSent(): Promise<number> {
  await lab.console('sender').type('\u0003');
  await lab.console('sender').type('echo sender-is-idle');
  await lab.console('sender').said('sender-is-idle', PATIENCE);
  const packets = await lab
    .console('sender')
    .ask(
      'grep ^Icmp: /proc/net/snmp; sed -n "s/^IcmpMsg: \\([0-9]*\\)$/requests \\1/p" /proc/net/snmp',
      'requests',
      PATIENCE,
    );
  return Number(packets);
}

/** Collects what the bridges let through. */
class Listening {
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  readonly heard = new Map<string, number[]>();
  missed = 0;

  constructor() {
    this.#done = (async () => {
      for await (const { frames, missed } of lab.live.network.capture(this.#stop.signal)) {
        this.missed += missed;
        for (const each of frames) this.#hear(each);
      }
    })();
  }

  #hear({ port, bytes }: CapturedFrame): void {
    const number = numberOf(bytes);
    if (number === undefined || !port.endsWith('/nic1')) return;
    this.heard.set(port, [...(this.heard.get(port) ?? []), number]);
  }

  async until(ports: readonly string[], count: number): Promise<void> {
    const end = performance.now() + PATIENCE.withinMs;
    const wanting = (): boolean => ports.some((port) => (this.heard.get(port)?.length ?? 0) < count);
    while (wanting() && performance.now() < end) await delay(50);
    await delay(1000); // nothing more may come
    this.#stop.abort();
    await this.#done;
    expect(this.missed).toBe(0);
  }
}

const unproven = ({ ports }: CheckpointReport): string[] =>
  ports.filter(({ proven }) => !proven).map(({ port }) => port);
const recalled = ({ ports }: CheckpointReport, name: string): number =>
  ports.find(({ port }) => port === name)!.evidence.down.recalled;

test('an interface that is down, a driver not loaded, a guest paused by its user: all comes, once and in order', async () => {
  lab = await TrafficLab.boot((directory) => ({
    sender: SENDER,
    down: { segments: ['lan', 'out1'], parameters: ['sw.bridge=br0:eth0+eth1', 'sw.down=eth0'] },
    late: { segments: ['lan', 'out2'], parameters: ['sw.skip=virtio_net'] },
    idle: {
      segments: ['lan', 'out3'],
      parameters: ['sw.bridge=br0:eth0+eth1'],
      args: monitorArguments(directory, 'idle'),
    },
  }));
  const deaf = ['down/nic0', 'idle/nic0', 'idle/nic1', 'late/nic0', 'late/nic1'];
  await lab.qmp('idle', 'stop');
  await ping('0.1');
  await delay(1000);

  const refused = await failure(lab.checkpoint('never'));
  expect(refused.code).toBe('PORT_UNREADY');
  for (const port of deaf) expect(refused.message).toContain(port);

  let before = 0;
  for (const name of ['c1', 'c2', 'c3', 'k1', 'c4', 'k2']) {
    await delay(300);
    const report = await (name.startsWith('k') ? lab.killAndRestart(name, KEEP) : lab.checkpoint(name, KEEP));
    expect(unproven(report).sort()).toEqual(deaf);
    for (const guest of ['down', 'idle', 'late'])
      expect(recalled(report, `${guest}/nic0`)).toBeGreaterThan(before);
    before = recalled(report, 'down/nic0');
  }

  const sent = await pingsSent();
  const listening = new Listening();
  await lab.console('down').type('ip link set eth0 up');
  await lab.qmp('idle', 'cont');
  const bridge = [
    'ip link add br0 type bridge',
    ...['eth0', 'eth1'].map((nic) => `ip link set ${nic} master br0`),
  ];
  const up = ['br0', 'eth1', 'eth0'].map((nic) => `ip link set ${nic} up`);
  await lab.console('late').type(['modprobe virtio_net', ...bridge, ...up].join('; '));
  await listening.until(['down/nic1', 'idle/nic1', 'late/nic1'], sent);
  for (const guest of ['down', 'idle', 'late']) {
    expect(listening.heard.get(`${guest}/nic1`), guest).toEqual(range(0, sent));
  }
  expect((await lab.checkpoint('last', { method: 'count' })).proven).toBe(true);
});

test('a guest that has halted: what it did not take is in every image, once and in order, over a restart too', async () => {
  lab = await TrafficLab.boot({
    sender: SENDER,
    halted: { segments: ['lan'], parameters: ['sw.if=eth0,10.1.0.2/24'] },
  });
  await lab.console('halted').type('halt -f');
  await lab.console('sender').type('echo');
  await ping('0.005', 400); // its receive ring takes 256, and that is memory
  await lab.console('sender').said('ping-is-over', PATIENCE);

  const inFlight = async ({ path }: CheckpointReport): Promise<(number | undefined)[]> => {
    const frames = await (await openImage(path)).frames();
    return frames
      .filter(({ destinations }) => destinations.includes('halted/nic0'))
      .map(({ bytes }) => numberOf(bytes))
      .filter((number) => number !== undefined);
  };
  const images: (number | undefined)[][] = [];
  for (const name of ['c1', 'c2', 'k1', 'c3', 'k2']) {
    const report = await (name.startsWith('k') ? lab.killAndRestart(name, KEEP) : lab.checkpoint(name, KEEP));
    expect(unproven(report)).toEqual(['halted/nic0']);
    images.push(await inFlight(report));
  }
  const [first] = images;
  expect(first!.length).toBeGreaterThan(50);
  expect(first).toEqual(range(first![0]!, 400));
  for (const image of images) expect(image).toEqual(first);
});
