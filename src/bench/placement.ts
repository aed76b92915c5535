/**
 * Who runs on which processors. The same for every carrier: sender, receiver, and whoever carries.
 *
 * The default takes two: the sender has one for itself, the receiver and the carrier share the other. So a frame crosses
 * from one processor to the other once, as between two guests, whoever carries it.
 */
import { availableParallelism } from 'node:os';
import type { Carrier } from './carrier.js';
import type { Ground } from './ground.js';
import { StillwireError } from '../errors/index.js';

export interface Placement {
  readonly sender: string;
  readonly receiver: string;
  readonly carrier: string;
}

const ALL = `0-${availableParallelism() - 1}`;

export const UNPINNED: Placement = { sender: ALL, receiver: ALL, carrier: ALL };

/** @param text `SENDER,RECEIVER,CARRIER`, each as taskset takes it, or `none` @throws StillwireError USAGE */
export function placementOf(text: string): Placement {
  if (text === 'none') return UNPINNED;
  const [sender, receiver, carrier, more] = text.split(',');
  const right = [sender, receiver, carrier].every((cpus) => cpus !== undefined && /^\d+(-\d+)?$/.test(cpus));
  if (right && more === undefined) return { sender: sender!, receiver: receiver!, carrier: carrier! };
  throw new StillwireError('USAGE', '--pin: SENDER,RECEIVER,CARRIER are expected, such as 0,1,1, or none');
}

export const describePlacement = ({ sender, receiver, carrier }: Placement): string =>
  sender === ALL && receiver === ALL && carrier === ALL
    ? 'not pinned'
    : `pinned: sender CPU ${sender}, receiver CPU ${receiver}, carrier CPU ${carrier}`;

/** Moves the carrier and the receiver there; the sender is started there each time. */
export async function place(ground: Ground, carrier: Carrier, placement: Placement): Promise<void> {
  const all = [
    [carrier.ends.server, placement.receiver] as const,
    ...carrier.processes.map((pid) => [pid, placement.carrier] as const),
  ];
  for (const [pid, cpus] of all) await ground.run({}, 'taskset', '-a', '-c', '-p', cpus, String(pid));
}
