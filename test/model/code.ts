/** The code under test: the real modules, or copies of them with a planted bug. */
import type { Crew } from '../../src/checkpoint/crew.js';
import type { LiveNetwork } from '../../src/checkpoint/live-network.js';
import type { LeasedChannel } from '../../src/network/leased-channel.js';
import type { isProven, runSequence } from '../../src/quiesce/index.js';
import type { Switch } from '../../src/switch/switch.js';

export interface Code {
  readonly runSequence: typeof runSequence;
  readonly isProven: typeof isProven;
  readonly Switch: typeof Switch;
  readonly LeasedChannel: typeof LeasedChannel;
  readonly Crew: typeof Crew;
  readonly LiveNetwork: typeof LiveNetwork;
}

/** Where each of them lives, below src. */
const MODULES = {
  runSequence: 'quiesce/index.ts',
  isProven: 'quiesce/index.ts',
  Switch: 'switch/switch.ts',
  LeasedChannel: 'network/leased-channel.ts',
  Crew: 'checkpoint/crew.ts',
  LiveNetwork: 'checkpoint/live-network.ts',
} as const satisfies Record<keyof Code, string>;

export const SOURCE = new URL('../../src/', import.meta.url).pathname;

/** @param rootOf the directory, laid out as src is, that a room's modules are to be taken from */
export async function loadCode(rootOf: (room: string) => string = () => SOURCE): Promise<Code> {
  const found: Record<string, unknown> = {};
  for (const [name, path] of Object.entries(MODULES)) {
    const module = (await import(/* @vite-ignore */ rootOf(path.split('/')[0]!) + path)) as Record<
      string,
      unknown
    >;
    found[name] = module[name];
  }
  return found as unknown as Code;
}
