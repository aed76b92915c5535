import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Notifier } from '../../src/daemon/notify.js';
import { bindDatagram, closeFd, readDatagram } from '../../src/sys/index.js';

let scratch: string;
let systemd: number;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'notify-'));
});
afterEach(() => {
  closeFd(systemd);
  rmSync(scratch, { recursive: true, force: true });
});

const buffer = Buffer.alloc(512);

async function heard(): Promise<string> {
  for (;;) {
    const length = readDatagram(systemd, buffer);
    if (length > 0) return buffer.toString('latin1', 0, length);
    await delay(1);
  }
}

const ready = `READY=1\nMAINPID=${process.pid}`;

test('the watchdog is fed as long as the switch answers, through a hold of any length too', async () => {
  const socket = join(scratch, 'notify');
  systemd = bindDatagram(socket);
  const notifier = new Notifier({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '3000' });
  const held = { answers: () => Promise.resolve(), isHeld: () => true };
  await notifier.ready(held);
  expect(await heard()).toBe(ready);
  for (let period = 0; period < 5; period++) expect(await heard()).toBe('WATCHDOG=1');
  await notifier.stopping();
  let last = await heard();
  while (last === 'WATCHDOG=1') last = await heard();
  expect(last).toBe('STOPPING=1');
});

test('a switch that does not answer feeds nothing', async () => {
  const socket = join(scratch, 'notify');
  systemd = bindDatagram(socket);
  const notifier = new Notifier({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '3000' });
  let asked = 0;
  const enough = new Promise<void>((resolve) => {
    void notifier.ready({
      answers: () => {
        if (++asked === 5) resolve();
        return Promise.reject(new Error('dead'));
      },
    });
  });
  await enough;
  await notifier.stopping();
  expect(await heard()).toBe(ready);
  expect(await heard()).toBe('STOPPING=1');
});

test('systemd may listen on an abstract socket, and need not be there', async () => {
  const socket = `@stillwire-notify-${process.pid}`;
  systemd = bindDatagram(socket);
  await new Notifier({ NOTIFY_SOCKET: socket }).ready({ answers: () => Promise.resolve() });
  expect(await heard()).toBe(ready);
  await new Notifier({ NOTIFY_SOCKET: join(scratch, 'nobody') }).stopping();
  await new Notifier({}).stopping();
});
