/** The longest silence of a guest, by the host's clock: bench/silence.c at work in the namespace of the guests' TAPs. */
import { once } from 'node:events';
import { StillwireError } from '../../errors/index.js';
import type { Ground } from '../ground.js';

/** Not guests. */
const EXCEPT = ['bridge'];

/**
 * Watches while `during` lasts.
 * @param program of bench/silence.c
 * @returns milliseconds, and what `during` gave
 */
export async function silenceDuring<T>(
  ground: Ground,
  program: string,
  namespace: string,
  during: () => Promise<T>,
): Promise<[silenceMs: number, result: T]> {
  const watching = await ground.start({ namespace }, [program, ...EXCEPT]);
  await watching.said('ready', ground.signal);
  try {
    const result = await during();
    let said = '';
    watching.channel.stdout?.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const gone = once(watching.channel, 'close', { signal: ground.signal });
    watching.channel.stdin?.end();
    await gone;
    const found = /silence ([\d.]+)/.exec(said)?.[1];
    if (found === undefined) throw new StillwireError('INTERNAL', `silence said ${said}`);
    return [Number(found), result];
  } finally {
    await watching.end();
  }
}
