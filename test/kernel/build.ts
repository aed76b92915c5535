/**
 * The built product: the switch thread is a worker, and a worker cannot be started from TypeScript. Another build than
 * dist/ may be named by STILLWIRE_DIST.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../../src', import.meta.url));
const build = process.env['STILLWIRE_DIST'] ?? fileURLToPath(new URL('../../dist', import.meta.url));

function demandFresh(): void {
  for (const name of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue;
    const built = `${build}/${name.slice(0, -3)}.js`;
    if (!existsSync(built) || statSync(built).mtimeMs < statSync(`${source}/${name}`).mtimeMs) {
      throw new Error(`the build is older than src/${name}: run \`npm run build\` before the kernel tests`);
    }
  }
}

type NetworkRoom = typeof import('../../src/network/index.js');
type SysRoom = typeof import('../../src/sys/index.js');

/** @throws Error when the build is older than its source */
export async function loadBuild(): Promise<{
  /** Where the build lies. */
  root: string;
  network: NetworkRoom;
  sys: SysRoom;
}> {
  demandFresh();
  const load = async (path: string): Promise<unknown> => import(/* @vite-ignore */ `${build}/${path}`);
  return {
    root: build,
    network: (await load('network/index.js')) as NetworkRoom,
    sys: (await load('sys/index.js')) as SysRoom,
  };
}
