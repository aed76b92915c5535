/** The guest image of demo and tests with programs of the benchmark's added: a second archive behind the first. */
import { appendFile, chmod, copyFile, mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { isAdopted, type NetworkDefinition } from '../definition/index.js';
import { guestImage, type GuestImage } from '../demo/traffic-network.js';
import { compile } from './compile.js';
import type { Ground } from './ground.js';

/** What they are called in the guest. */
export const GUEST_TRAFFIC = 'bench-traffic';
export const GUEST_LOOP = 'bench-loop';

const LOOP_SOURCE = fileURLToPath(new URL('../../bench/loop-guest.sh', import.meta.url));

/** With {@link GUEST_TRAFFIC}. @throws StillwireError MISSING_PROGRAM when the image is not built, or cc or cpio is missing */
export async function benchImage(ground: Ground): Promise<GuestImage> {
  const program = await compile(ground, 'traffic', '-static');
  return withProgram(ground, GUEST_TRAFFIC, (place) => rename(program, place));
}

/** With {@link GUEST_LOOP}. @throws StillwireError MISSING_PROGRAM when the image is not built, or cpio is missing */
export function loopImage(ground: Ground): Promise<GuestImage> {
  return withProgram(ground, GUEST_LOOP, async (place) => {
    await copyFile(LOOP_SOURCE, place);
    await chmod(place, 0o755);
  });
}

/** The kernel unpacks one archive after the other (Documentation/driver-api/early-userspace/buffer-format.rst). */
async function withProgram(
  ground: Ground,
  name: string,
  put: (place: string) => Promise<void>,
): Promise<GuestImage> {
  const { kernel, initrd } = guestImage();
  const tree = join(ground.directory, `${name}-tree`);
  await mkdir(join(tree, 'bin'), { recursive: true });
  await put(join(tree, 'bin', name));
  const archive = join(ground.directory, `${name}.cpio`);
  await ground.run({}, 'sh', '-c', `cd ${tree} && find bin | cpio --quiet -o -H newc >${archive}`);
  const own = join(ground.directory, `${name}.gz`);
  await copyFile(initrd, own);
  await appendFile(own, await promisify(gzip)(await readFile(archive)));
  return { kernel, initrd: own };
}

/** The same network, whose guests boot this image. */
export function booting(definition: NetworkDefinition, image: GuestImage): NetworkDefinition {
  const guests = Object.entries(definition.guests).map(([name, guest]) => [
    name,
    isAdopted(guest) ? guest : { ...guest, ...image },
  ]);
  return { ...definition, guests: Object.fromEntries(guests) as NetworkDefinition['guests'] };
}
