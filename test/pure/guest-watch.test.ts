import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { HypervisorProcess } from '../../src/guest/hypervisor-process.js';
import { QemuGuest } from '../../src/guest/qemu-guest.js';
import { QmpClient } from '../../src/guest/qmp.js';
import { QmpPeer } from './qmp-peer.js';

class FakeProcess extends HypervisorProcess {
  pid: number | undefined = 1;
  end!: (reason: string) => void;
  readonly ended = new Promise<string>((resolve) => {
    this.end = (reason) => {
      this.pid = undefined;
      resolve(reason);
    };
  });

  constructor() {
    super('/nowhere');
  }

  kill(): Promise<void> {
    return Promise.resolve();
  }
}

let peer: QmpPeer;
let qmp: QmpClient;
afterEach(async () => {
  qmp.close();
  await peer.close();
});

async function guestOf(process: FakeProcess): Promise<QemuGuest> {
  peer = await QmpPeer.listen((command) => ({ return: {}, id: command.id }));
  qmp = await QmpClient.connect(peer.path, { guest: 'anna', timeoutMs: 5000 });
  return new QemuGuest('anna', process, qmp, 1 << 20, Promise.resolve({}));
}

test('whoever watches is told once, by whichever comes first; whoever has gone is not', async () => {
  const process = new FakeProcess();
  const guest = await guestOf(process);
  const told: string[] = [];
  guest.watch((reason) => told.push(`stayed: ${reason}`));
  guest.watch((reason) => told.push(`gone: ${reason}`))();
  qmp.close();
  process.end('QEMU was ended by SIGKILL');
  await guest.ended;
  await delay(1);
  expect(told).toEqual(['stayed: guest anna: QEMU was ended by SIGKILL']);
  guest.watch((reason) => told.push(`late: ${reason}`));
  await delay(1);
  expect(told[1]).toBe('late: guest anna: QEMU was ended by SIGKILL');
});

test('a guest that can no more be spoken to is lost, though it runs', async () => {
  const guest = await guestOf(new FakeProcess());
  const reason = new Promise<string>((resolve) => guest.watch(resolve));
  peer.hangUp();
  expect(await reason).toMatch(/^guest anna: .*closed/);
});

// The promises of a guest's end live as long as it does, and keep whatever waits for them.
test('a watcher that has gone is forgotten, with all it knew', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const guest = await guestOf(new FakeProcess());
  const watchAndGo = (): WeakRef<object> => {
    const known = { frames: new Uint8Array(1 << 16) };
    guest.watch(() => known.frames.fill(0))();
    qmp.onClosed(() => known.frames.fill(0))();
    return new WeakRef(known);
  };
  const seen = watchAndGo();
  for (let i = 0; i < 10 && seen.deref() !== undefined; i++) {
    await delay(1);
    collect();
  }
  expect(seen.deref()).toBeUndefined();
  expect(guest.pid).toBe(1); // the guest itself is still there
});
