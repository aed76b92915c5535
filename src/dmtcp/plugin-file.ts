/**
 * The plugin that a guest's process carries, as a shared object: $STILLWIRE_DMTCP_PLUGIN, or made of the source that
 * comes with Stillwire, at its first use and by the system's compiler. What is made is kept, by the hash of its source,
 * where only root or this user can write: it is code that runs in every guest's process.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { StillwireError } from '../errors/index.js';
import { exchangeableBy, isOpenToAll, isStranger } from '../sys/ownership.js';

const execute = promisify(execFile);
const SOURCE = fileURLToPath(new URL('../../plugin/stillwire-dmtcp.c', import.meta.url));
const FLAGS = ['-O2', '-shared', '-fPIC'];

/** Where it is kept: /var/cache/stillwire for root, the XDG cache for others. */
function cacheDirectory({ STILLWIRE_CACHE: own, XDG_CACHE_HOME: xdg }: Readonly<NodeJS.ProcessEnv>): string {
  if (own !== undefined && own !== '') return join(resolve(own), 'dmtcp');
  if (process.getuid?.() === 0) return '/var/cache/stillwire';
  return join(xdg !== undefined && xdg.startsWith('/') ? xdg : join(homedir(), '.cache'), 'stillwire');
}

/** @throws StillwireError DIRECTORY_UNSAFE */
async function secure(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const real = await realpath(directory);
  const status = await stat(real);
  const why = isStranger(status.uid)
    ? `is owned by uid ${status.uid}`
    : isOpenToAll(status)
      ? 'is writable by everyone'
      : exchangeableBy(real);
  if (why === undefined) return real;
  throw new StillwireError('DIRECTORY_UNSAFE', `${real} ${why}`, { path: real });
}

let making: Promise<string> | undefined;

/**
 * Absolute path of the plugin.
 * @throws StillwireError MISSING_PROGRAM without a compiler; GUEST_FAILED with the compiler's words; DIRECTORY_UNSAFE
 */
export function pluginFile(environment: Readonly<NodeJS.ProcessEnv> = process.env): Promise<string> {
  const { STILLWIRE_DMTCP_PLUGIN: own } = environment;
  if (own !== undefined && own !== '') return Promise.resolve(resolve(own));
  making ??= make(environment).catch((error: unknown) => {
    making = undefined;
    throw error;
  });
  return making;
}

async function make(environment: Readonly<NodeJS.ProcessEnv>): Promise<string> {
  const source = await readFile(SOURCE).catch((error: unknown) => {
    throw new StillwireError('MISSING_PROGRAM', `the DMTCP plugin's source ${SOURCE} is missing`, {}, error);
  });
  const directory = await secure(cacheDirectory(environment));
  const hash = createHash('sha256').update(source).digest('hex').slice(0, 16);
  const file = join(directory, `stillwire-dmtcp-${hash}.so`);
  const isThere = await access(file, constants.R_OK).then(
    () => true,
    () => false,
  );
  if (isThere) return file;
  const compiler = environment['CC'] ?? 'cc';
  const draft = `${file}.${process.pid}`;
  try {
    await execute(compiler, [...FLAGS, '-o', draft, SOURCE, '-ldl']);
    await rename(draft, file); // whole or not there
  } catch (error) {
    await rm(draft, { force: true });
    const { code, stderr = '', message } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === 'ENOENT') {
      const words = `the DMTCP plugin is compiled at its first use, and ${compiler} is not installed`;
      throw new StillwireError('MISSING_PROGRAM', words, { program: compiler });
    }
    throw new StillwireError('GUEST_FAILED', `the DMTCP plugin: ${stderr.trim() || message}`, {}, error);
  }
  return file;
}
