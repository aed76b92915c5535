/** Attaching to a QEMU that somebody else started: what a daemon does whose predecessor was killed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { attachQemu, qemuArguments, QmpClient, type AttachedQemu } from '../../src/guest/index.js';
import {
  closeFd,
  createTap,
  enterNamespace,
  namespacePath,
  O_RDONLY,
  openFd,
  startTimeOf,
} from '../../src/sys/index.js';
import { Lab } from '../kernel/lab.js';
import { failure } from './guest-compliance.js';
import { DEFINITION } from './qemu-machine.js';

const lab = new Lab('attach');
const never = new AbortController().signal;
const definition = {
  ...DEFINITION,
  nics: [
    { name: 'nic0', segment: 'lan', mac: '52:54:00:00:00:01', mtu: 1500, model: 'virtio-net-pci' },
    { name: 'nic1', segment: 'lan', mac: '52:54:00:00:00:02', mtu: 1500, model: 'virtio-net-pci' },
  ],
};
let home: number;
let namespace: string;
let directory: string;
let qemu: ChildProcess & { pid: number };
const attached: AttachedQemu[] = [];

beforeAll(() => {
  home = openFd('/proc/thread-self/ns/net', O_RDONLY);
  namespace = namespacePath(lab.addNamespace('home'));
  enterNamespace(namespace);
});
afterAll(() => {
  enterNamespace(`/proc/self/fd/${home}`);
  closeFd(home);
  lab.close();
});

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'attach-'));
  const taps = [createTap('at0'), createTap('at1')];
  const qmpSocket = join(directory, 'g.qmp');
  const args = qemuArguments(definition, { name: 'g', qmpSocket, tapFds: [3, 4], incoming: false });
  const child = spawn(definition.qemu, args, {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', ...taps],
  });
  await once(child, 'spawn');
  qemu = child as typeof qemu;
  for (const tap of taps) closeFd(tap);
});
afterEach(async () => {
  for (const { letGo, taps } of attached.splice(0)) {
    await letGo();
    for (const { fd } of taps) closeFd(fd);
  }
  if (qemu.exitCode === null && qemu.signalCode === null) {
    qemu.kill('SIGKILL');
    await once(qemu, 'exit');
  }
  await rm(directory, { recursive: true, force: true });
});

const other = (): Promise<QmpClient> =>
  QmpClient.connect(join(directory, 'g.qmp'), { guest: 'g', timeoutMs: 10_000 });

async function attach(more: { startTime?: string } = {}): Promise<AttachedQemu> {
  const qmpSocket = join(directory, 'g.qmp');
  const common = { name: 'g', definition, pid: qemu.pid, qmpSocket, runDirectory: directory, signal: never };
  const one = await attachQemu({ ...common, ...more });
  attached.push(one);
  return one;
}

test('it is stopped, saved and resumed like one of our own; its TAPs are ours too; its end is seen', async () => {
  const { guest, taps } = await attach({ startTime: startTimeOf(qemu.pid)! });
  expect(guest.pid).toBe(qemu.pid);
  expect(taps.map(({ device }) => device)).toEqual(['at0', 'at1']);
  expect(taps.every((tap) => tap.namespace === statSync(namespace).ino)).toBe(true);
  expect(await guest.runState()).toBe('running');
  expect(await guest.stop()).toBe(true);
  expect(await guest.save(join(directory, 'state'), never)).toBeGreaterThan(100_000);
  await guest.resume();
  expect(await guest.runState()).toBe('running');
  let lost = '';
  guest.watch((reason) => (lost = reason));
  await guest.kill();
  expect(guest.pid).toBeUndefined();
  expect(await guest.runState()).toBe('ended');
  expect(lost).toMatch(/^guest g: QEMU has ended/);
});

test('one that ends by itself is seen ending', async () => {
  const { guest } = await attach();
  qemu.kill('SIGKILL');
  expect(await guest.ended).toMatch(/QEMU has ended/);
  expect(guest.pid).toBeUndefined();
});

test('a migration that a dead client began is cancelled; the guest stays stopped, and can be resumed and saved', async () => {
  const client = await other();
  await client.execute('migrate-set-parameters', { 'max-bandwidth': 1 });
  await client.execute('stop');
  await client.execute('migrate', { uri: 'exec:cat > /dev/null' });
  client.close();
  const { guest } = await attach();
  expect(await guest.runState()).toBe('paused');
  await guest.resume();
  expect(await guest.runState()).toBe('running');
  await guest.stop();
  await guest.save(join(directory, 'state'), never);
});

test('a guest that was paused stays paused', async () => {
  const client = await other();
  await client.execute('stop');
  client.close();
  const { guest } = await attach();
  expect(await guest.runState()).toBe('paused');
});

test('a recycled pid is another process; it is not touched', async () => {
  expect((await failure(attach({ startTime: '1' }))).code).toBe('GUEST_DIED');
  expect(qemu.exitCode).toBeNull();
});

test("another's socket is refused, and the process runs on", async () => {
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(stranger, 'spawn');
  try {
    const qmpSocket = join(directory, 'g.qmp');
    const error = await failure(
      attachQemu({
        ...{ name: 'g', definition, pid: stranger.pid!, qmpSocket },
        ...{ runDirectory: directory, signal: never },
      }),
    );
    expect(error.message).toContain(`its QMP socket is that of process ${qemu.pid}`);
    expect(stranger.exitCode).toBeNull();
  } finally {
    stranger.kill('SIGKILL');
  }
});

test('an abort while another client has the monitor lets go of it, and of nothing else', async () => {
  const client = await other();
  const stop = new AbortController();
  const qmpSocket = join(directory, 'g.qmp');
  const attempt = attachQemu({
    ...{ name: 'g', definition, pid: qemu.pid, qmpSocket },
    ...{ runDirectory: directory, signal: stop.signal },
  });
  const reason = new Error('enough');
  setTimeout(() => stop.abort(reason), 50);
  await expect(attempt).rejects.toBe(reason);
  expect(await client.execute('query-status')).toMatchObject({ running: true });
  client.close();
  await attach(); // and it can be attached to afterwards
});
