/**
 * Which disks a guest can write, as QEMU tells it.
 *
 * Counted: every medium that is inserted in a device and not read-only. That includes pflash, whose file follows every
 * write of the guest at once and would be ahead of a restart from an older checkpoint; and `snapshot=on`, whose overlay
 * QEMU has deleted already: a restart would begin with a fresh one, while the guest's RAM remembers what it had written.
 * Not counted: empty drives and the null drivers, where nothing is stored.
 */
import type { WritableDisk } from './guest.js';
import { ask, BlockAnswer } from './qemu-answers.js';
import type { QmpClient } from './qmp.js';

/** Drivers that keep nothing. */
const STORELESS: ReadonlySet<string> = new Set(['null-co', 'null-aio']);

/** The writable disks of a guest. @throws as QmpClient.execute */
export async function writableDisks(qmp: QmpClient): Promise<WritableDisk[]> {
  const disks: WritableDisk[] = [];
  for (const { device, qdev, inserted } of await ask(qmp, BlockAnswer, 'query-block')) {
    if (inserted === undefined || inserted.ro || STORELESS.has(inserted.drv)) continue;
    const name = [device, inserted['node-name'], qdev].find((each) => each !== undefined && each !== '');
    disks.push({ device: name ?? 'unnamed', file: inserted.file });
  }
  return disks;
}
