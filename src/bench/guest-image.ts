/** The guest image of demo and tests with the benchmark's traffic program added: a second archive behind the first. */
import { appendFile, copyFile, mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { guestImage, type GuestImage } from '../demo/traffic-network.js';
import { compile } from './compile.js';
import type { Ground } from './ground.js';

/** What it is called in the guest. */
export const GUEST_TRAFFIC = 'bench-traffic';

/**
 * The kernel unpacks one archive after the other (Documentation/driver-api/early-userspace/buffer-format.rst).
 * @throws StillwireError MISSING_PROGRAM when the image is not built, or cc or cpio is missing
 */
export async function benchImage(ground: Ground): Promise<GuestImage> {
  const { kernel, initrd } = guestImage();
  const tree = join(ground.directory, 'guest-tree');
  await mkdir(join(tree, 'bin'), { recursive: true });
  await rename(await compile(ground, 'traffic', '-static'), join(tree, 'bin', GUEST_TRAFFIC));
  const archive = join(ground.directory, 'guest.cpio');
  await ground.run({}, 'sh', '-c', `cd ${tree} && find bin | cpio --quiet -o -H newc >${archive}`);
  const own = join(ground.directory, 'initramfs.gz');
  await copyFile(initrd, own);
  await appendFile(own, await promisify(gzip)(await readFile(archive)));
  return { kernel, initrd: own };
}
