import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StateSaver } from '../../src/guest/qemu-saver.js';
import { QmpPeer } from './qmp-peer.js';

test('a guest that QEMU will not save again, its last state not being ours, is refused before the hold', async () => {
  let status = 'postmigrate';
  const directory = mkdtempSync(join(tmpdir(), 'saver-'));
  const peer = await QmpPeer.listen(({ id }) => ({ return: { status, running: false }, id }));
  const qmp = await peer.client();
  const saver = new StateSaver(qmp, 'anna', 1 << 20);
  await expect(saver.prepare(join(directory, 'state'))).rejects.toMatchObject({
    code: 'GUEST_FAILED',
    message: expect.stringContaining('let it run once') as string,
  });
  expect(readdirSync(directory)).toEqual([]);
  status = 'paused';
  (await saver.prepare(join(directory, 'state')))();
  expect(readdirSync(directory)).toEqual(['state']);
  qmp.close();
  await peer.close();
  rmSync(directory, { recursive: true });
});
