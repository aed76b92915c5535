/**
 * Which disks a guest can write, as QEMU tells it.
 *
 * Counted: every medium that is inserted in a device and not read-only; pflash too, for its file follows every write
 * of the guest at once and would be ahead of a restart from an older checkpoint.
 * Not counted: empty drives, the null drivers (nothing is stored), and the overlay that `snapshot=on` puts on a disk.
 * QEMU deletes that overlay's file as soon as it is open, so it is known by its name and by its absence.
 */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { z } from 'zod';
import type { WritableDisk } from './guest.js';
import { ask, BlockAnswer } from './qemu-answers.js';
import type { QmpClient } from './qmp.js';

/** What mkstemp makes of the template in block.c, `vl.XXXXXX`. */
const TEMPORARY_NAME = /^vl\.[A-Za-z0-9]{6}$/;
/** Drivers that keep nothing. */
const STORELESS: ReadonlySet<string> = new Set(['null-co', 'null-aio']);

const OverlayName = z.object({ file: z.object({ filename: z.string() }) });

/** The overlay's own file in a `json:` file name; undefined when the name is no such thing. */
function overlayFile(name: string): string | undefined {
  if (!name.startsWith('json:')) return undefined;
  try {
    const parsed = OverlayName.safeParse(JSON.parse(name.slice('json:'.length)));
    return parsed.success ? parsed.data.file.filename : undefined;
  } catch {
    return undefined; // cut off by QEMU at 1024 bytes: no name to go by, so it counts as writable
  }
}

/** Whether QEMU's name for a medium is that of a `snapshot=on` overlay. */
export function isTemporaryOverlay(name: string, exists: (path: string) => boolean = existsSync): boolean {
  const file = overlayFile(name);
  return file !== undefined && TEMPORARY_NAME.test(basename(file)) && !exists(file);
}

/** The writable disks of a guest. @throws as QmpClient.execute */
export async function writableDisks(qmp: QmpClient): Promise<WritableDisk[]> {
  const disks: WritableDisk[] = [];
  for (const { device, qdev, inserted } of await ask(qmp, BlockAnswer, 'query-block')) {
    if (inserted === undefined || inserted.ro || STORELESS.has(inserted.drv)) continue;
    if (isTemporaryOverlay(inserted.file)) continue;
    const name = [device, inserted['node-name'], qdev].find((each) => each !== undefined && each !== '');
    disks.push({ device: name ?? 'unnamed', file: inserted.file });
  }
  return disks;
}
