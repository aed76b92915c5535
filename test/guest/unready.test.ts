/**
 * Guests that take no frames, and what becomes of those sent to them. A sender pings the broadcast address, so every
 * request is for all. A witness in each of the others tells what has come to it: once it takes frames, every
 * number from 0 on, once and in order, whatever checkpoints and restarts lay in between.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { CheckpointReport } from '../../src/checkpoint/index.js';
import { failure, monitorArguments, openImage, PATIENCE, TrafficLab } from './traffic-lab.js';

let lab: TrafficLab;
afterEach(() => lab.end());

const SENDER = { segments: ['lan'], parameters: ['sw.if=eth0,10.1.0.1/24'] };
const KEEP = { method: 'count', unready: 'keep' } as const;

async function ping(count: number, interval: number): Promise<void> {
  await lab
    .console('sender')
    .type(`ping -c ${count} -i ${interval} -W 1 10.1.0.255 >/dev/null; echo; echo ping-is-over`);
}

async function witness(guest: string): Promise<void> {
  const shell = lab.console(guest);
  await shell.type('witness &');
  expect(await shell.said('WITNESS', PATIENCE)).toBe('ready');
}

/** What has come to a guest, when all of it has. */
async function seenBy(guest: string, all: string): Promise<string> {
  const end = performance.now() + PATIENCE.withinMs;
  for (;;) {
    const seen = await lab.console(guest).ask('killall -USR1 witness', 'WITNESS', PATIENCE);
    if (seen.endsWith(all.split('-')[1]!) || performance.now() > end) return seen;
    await delay(200);
  }
}

const take = (name: string): Promise<CheckpointReport> =>
  name.startsWith('k') ? lab.killAndRestart(name, KEEP) : lab.checkpoint(name, KEEP);
const unproven = ({ ports }: CheckpointReport): string[] =>
  ports.filter(({ proven }) => !proven).map(({ port }) => port);
const recalled = ({ ports }: CheckpointReport, name: string): number =>
  ports.find(({ port }) => port === name)!.evidence.down.recalled;

test('interface down, driver not loaded, paused by its user: all comes, once and in order', async () => {
  lab = await TrafficLab.boot((directory) => ({
    sender: SENDER,
    down: { segments: ['lan'], parameters: [] },
    late: { segments: ['lan'], parameters: ['sw.skip=virtio_net'] },
    idle: {
      segments: ['lan'],
      parameters: ['sw.if=eth0,10.1.0.4/24'],
      args: monitorArguments(directory, 'idle'),
    },
  }));
  const guests = ['down', 'idle', 'late'];
  const deaf = guests.map((guest) => `${guest}/nic0`);
  await Promise.all(guests.map(witness));
  await lab.qmp('idle', 'stop');
  await ping(200, 0.1); // all of it finds room in a ring: an unready guest's queue would keep a checkpoint waiting
  await delay(1000);

  const refused = await failure(lab.checkpoint('never'));
  expect(refused.code).toBe('PORT_UNREADY');
  for (const port of deaf) expect(refused.message).toContain(port);

  for (const name of ['c1', 'c2', 'c3', 'k1', 'c4', 'k2', 'c5']) {
    const report = await take(name);
    expect(unproven(report).sort()).toEqual(deaf);
    for (const port of deaf) expect(recalled(report, port)).toBeGreaterThan(0);
  }
  await lab.console('sender').said('ping-is-over', PATIENCE);

  await lab.console('down').type('ip link set eth0 up');
  await lab.console('late').type('modprobe virtio_net; ip link set eth0 up');
  await lab.qmp('idle', 'cont');
  for (const guest of guests) expect(await seenBy(guest, '0-199'), guest).toBe('0-199');
  expect((await lab.checkpoint('last', { method: 'count' })).proven).toBe(true);
  for (const guest of guests) expect(await seenBy(guest, '0-199'), guest).toBe('0-199');
});

test('a guest that has halted: what it did not take is in every image, once and in order', async () => {
  lab = await TrafficLab.boot({
    sender: SENDER,
    halted: { segments: ['lan'], parameters: ['sw.if=eth0,10.1.0.2/24'] },
  });
  await lab.console('halted').type('halt -f');
  await ping(400, 0.005); // its receive ring takes 256, and that is memory
  await lab.console('sender').said('ping-is-over', PATIENCE);

  /** Numbers of the echo requests in an image for the halted guest. */
  const inFlight = async ({ path }: CheckpointReport): Promise<number[]> => {
    const frames = await (await openImage(path)).frames();
    return frames
      .filter(({ destinations }) => destinations.includes('halted/nic0'))
      .map(({ bytes }) => Buffer.from(bytes))
      .filter((bytes) => bytes.readUInt16BE(12) === 0x0800 && bytes[23] === 1 && bytes[34] === 8)
      .map((bytes) => bytes.readUInt16BE(40));
  };
  const images: number[][] = [];
  for (const name of ['c1', 'c2', 'k1', 'c3', 'k2']) {
    const report = await take(name);
    expect(unproven(report)).toEqual(['halted/nic0']);
    images.push(await inFlight(report));
  }
  const [first] = images;
  const from = first![0]!;
  expect(from).toBeLessThan(350);
  expect(first).toEqual(Array.from({ length: 400 - from }, (_, i) => from + i));
  for (const image of images) expect(image).toEqual(first);
});
