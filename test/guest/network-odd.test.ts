/** Guests that are not as one would wish: without a driver, bridging, paused, dying, with disks. */
import { writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { TestGuest } from '../../src/demo/traffic-network.js';
import { failure, flatGuests, isFaultless, monitorArguments, PATIENCE, TrafficLab } from './traffic-lab.js';

let lab: TrafficLab;
afterEach(() => lab.end());

const boot = async (...options: Parameters<typeof TrafficLab.boot>): Promise<void> => {
  lab = await TrafficLab.boot(...options);
};
const SENTINEL_ETHERTYPE = 0x88b5;
const [G1, G2] = ['g1', 'g2'].map((name) => flatGuests(2)[name]!) as [TestGuest, TestGuest];

test('a guest without a driver makes its own port unproven, and nobody waits for it for ever', async () => {
  await boot({ g1: G1, g2: G2, deaf: { segments: ['lan'], parameters: ['sw.skip=virtio_net'] } });
  await delay(300);
  const bounds = { drainMs: 100 };
  const unready = 'keep';
  const first = await lab.checkpoint('first', { unready, bounds });
  const unproven = await failure(lab.checkpoint('never', { unready, requireProof: true, bounds }));
  expect(unproven.code).toBe('NOT_PROVEN');
  expect(unproven.message).toContain('deaf/nic0');
  const refused = await failure(lab.checkpoint('never', { bounds }));
  expect(refused.code).toBe('PORT_UNREADY');
  expect(refused.message).toContain('deaf/nic0');
  const second = await lab.killAndRestart('second', { unready, bounds });
  for (const { proven, ports } of [first, second]) {
    expect(proven).toBe(false);
    expect(ports.filter((port) => !port.proven).map(({ port }) => port)).toEqual(['deaf/nic0']);
    expect(ports.find(({ port }) => port === 'deaf/nic0')?.reason).toMatch(/taken back|ring/);
  }
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
});

test('a guest that bridges its two NICs does not echo a sentinel into the network', async () => {
  await boot({
    g1: { ...G1, segments: ['left'] },
    g2: { ...G2, segments: ['right'] },
    bridge: { segments: ['left', 'right'], parameters: ['sw.bridge=br0:eth0+eth1'] },
  });
  // A Linux bridge keeps the sentinel's address to itself unless told to forward it: 1 << 0xf.
  const shell = lab.console('bridge');
  await shell.type('echo 32768 > /sys/class/net/br0/bridge/group_fwd_mask && echo mask-is-set');
  await shell.said('mask-is-set', PATIENCE);

  const stop = new AbortController();
  let seen = 0;
  const watching = (async () => {
    for await (const { frames } of lab.live.network.capture(stop.signal)) {
      seen += frames.filter(({ bytes }) => Buffer.from(bytes).readUInt16BE(12) === SENTINEL_ETHERTYPE).length;
    }
  })();
  for (const name of ['c1', 'c2', 'c3']) {
    await lab.checkpoint(name);
    await delay(300);
  }
  const { ports } = await lab.live.network.ledger();
  const swallowed = ports.reduce((sum, { ingress }) => sum + ingress.discarded.swallowed, 0);
  for (let tries = 0; seen < swallowed && tries < 200; tries++) await delay(50); // a capture comes in batches
  stop.abort();
  await watching;
  expect(seen).toBeGreaterThan(0); // the bridge did send them on
  expect(swallowed).toBe(seen); //    and not one went any further
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
});

test('a guest that the user had paused stays paused, after a checkpoint and after a restart', async () => {
  await boot((directory) => ({
    ...flatGuests(2),
    idle: { segments: ['lan'], parameters: [], args: monitorArguments(directory, 'idle') },
  }));
  const states = async (): Promise<string[]> =>
    Promise.all(['g1', 'g2', 'idle'].map((guest) => lab.live.guests.get(guest)!.runState()));
  await lab.qmp('idle', 'stop');
  await lab.checkpoint('first', { unready: 'keep' });
  expect(await states()).toEqual(['running', 'running', 'paused']);
  await lab.killAndRestart('second', { unready: 'keep' });
  expect(await states()).toEqual(['running', 'running', 'paused']);
  await lab.qmp('idle', 'cont');
  await lab.console('idle').type('echo here-again');
  await lab.console('idle').said('here-again', PATIENCE);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
});

describe('a guest that is killed', () => {
  test.for(['drain', 'stop', 'mark'])('after the %s: named, the others run, no image', async (when) => {
    await boot(flatGuests(3));
    const pid = lab.live.guests.get('g2')!.pid!;
    const onPhase = (phase: string): void => {
      if (phase === when) process.kill(pid, 'SIGKILL');
    };
    const error = await failure(lab.checkpoint('never', { onPhase }));
    expect(error.code).toBe('GUEST_DIED');
    expect(error.details.guest).toBe('g2');
    expect(error.message).toContain('SIGKILL');
    expect(await readdir(lab.checkpoints)).toEqual([]);
    expect((await lab.live.network.ledger()).held).toBe(false);
    for (const guest of ['g1', 'g3']) expect(await lab.live.guests.get(guest)!.runState()).toBe('running');
    // Traffic between the others goes on: the closing exchange with the dead one cannot, so STATUS tells.
    const received = async (): Promise<number> => {
      const status = await lab.console('g1').ask('status', 'STATUS', PATIENCE);
      const { udp } = JSON.parse(status) as { udp: { peer: string; received: number }[] };
      return udp.filter(({ peer }) => peer === 'g3').reduce((sum, flow) => sum + flow.received, 0);
    };
    const before = await received();
    await delay(500);
    expect(await received()).toBeGreaterThan(before + 50);
  });
});

test('a writable disk is refused before the hold', async () => {
  let disk = '';
  await boot((directory) => {
    disk = join(directory, 'disk');
    writeFileSync(disk, Buffer.alloc(1 << 20));
    const args = ['-drive', `file=${disk},format=raw,if=none,id=d0`, '-device', 'virtio-blk-pci,drive=d0'];
    return { ...flatGuests(2), g2: { ...G2, args } };
  });
  const phases: string[] = [];
  const error = await failure(lab.checkpoint('never', { onPhase: (phase) => phases.push(phase) }));
  expect(error.code).toBe('DISK_NOT_SAVED');
  expect(error.details.guest).toBe('g2');
  expect(error.message).toContain(disk);
  expect(phases).toEqual([]);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
});

test('the kernel behaviour the design relies on is there in a guest of another kernel too', async () => {
  await boot({ probes: { segments: ['lan'], parameters: ['sw.run=/platform/run'] } });
  const verdict = await lab.console('probes').said('PLATFORM', PATIENCE);
  expect(verdict).toMatch(/^passed=[1-9]\d* failed=0$/);
});
