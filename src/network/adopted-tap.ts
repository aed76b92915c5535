/**
 * A TAP that somebody else has made: taken into the network's namespace while the network lives, and given back.
 *
 * In the host's namespace its frames would reach the host's stack, and the host's frames it. A netdev that is moved is
 * set down for a moment and loses its addresses; the hypervisor's descriptor notices nothing. So it must be nobody
 * else's: not of a bridge, without addresses. Deleting a namespace deletes the TAPs in it: it is given back before.
 */
import { z } from 'zod';
import { StillwireError } from '../errors/index.js';
import { namespacePath } from '../sys/index.js';
import { runProgram } from './namespace.js';

/** What is changed while the TAP is ours, as it was before. */
export interface AdoptedTap {
  /** Its name, here and there. */
  readonly device: string;
  readonly mtu: number;
  /** Frames in its ring, at most (txqueuelen). */
  readonly queueLength: number;
  readonly up: boolean;
}

/** A TAP made for an adopted guest at its restart, as its owner will have it. */
export const FRESH_TAP = { mtu: 1500, queueLength: 1000, up: true };

/** Of `ip -json address`: one entry per device. */
const LinkAnswer = z
  .array(
    z.object({
      mtu: z.number(),
      txqlen: z.number().default(1000),
      flags: z.array(z.string()),
      master: z.string().optional(),
      addr_info: z.array(z.object({ local: z.string().optional(), scope: z.string().optional() })),
    }),
  )
  .length(1);

/**
 * Looks at a TAP that is to be taken: what has to be known to give it back.
 * @throws StillwireError ADOPT_REFUSED when a bridge takes its frames before us, or the host talks through it itself
 */
export async function describeTap(device: string): Promise<AdoptedTap> {
  const answer = JSON.parse(await runProgram('ip', '-json', 'address', 'show', 'dev', device)) as unknown;
  const [link] = LinkAnswer.parse(answer);
  const { mtu, txqlen: queueLength, flags, master, addr_info: addresses } = link!;
  const refuse = (why: string): never => {
    throw new StillwireError('ADOPT_REFUSED', `TAP ${device} ${why}`, { device });
  };
  if (master !== undefined) return refuse(`is enslaved to ${master}`);
  const own = addresses.find(({ scope }) => scope !== 'link'); // IPv6 link-local ones come by themselves
  if (own !== undefined) return refuse(`has an address of the host's, ${own.local ?? ''}`);
  return { device, mtu, queueLength, up: flags.includes('UP') };
}

/** @throws StillwireError NO_PRIVILEGE, SYSCALL */
export async function takeTap(namespace: string, { device }: AdoptedTap): Promise<void> {
  await runProgram('ip', 'link', 'set', 'dev', device, 'netns', namespace);
}

/**
 * Gives a TAP back as it was. One that has gone with its hypervisor is no error.
 * @throws StillwireError SYSCALL when the host has a device of its name by now
 */
export async function giveBackTap(namespace: string, tap: AdoptedTap): Promise<void> {
  const { device, mtu, queueLength, up } = tap;
  const inside = ['nsenter', `--net=${namespacePath(namespace)}`, 'ip', 'link'] as const;
  const exists = await runProgram(...inside, 'show', 'dev', device).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  await runProgram(...inside, 'set', 'dev', device, 'down', 'arp', 'on', 'mtu', String(mtu));
  await runProgram(...inside, 'set', 'dev', device, 'netns', String(process.pid));
  const length = ['txqueuelen', String(queueLength)];
  await runProgram('ip', 'link', 'set', 'dev', device, ...length, ...(up ? ['up'] : []));
}
