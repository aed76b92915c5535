/**
 * Taking up a network whose process was killed: its guests live, its devices are there, and what was held lies in the
 * hold file.
 *
 *   guests    attached to: a migration under way is cancelled, their TAP descriptors are duplicated
 *   open      the switch, held from its first moment, on the devices that are there
 *   restore   what was held and not delivered, in its order; from here on the new hold file counts
 *   resume    exactly those that the dead process had stopped
 *   release   what was held first, then live traffic
 *
 * Nothing is delivered before all run, as in a checkpoint. A failure on the way, the death of this process included,
 * leaves everything as the last one left it, except for guests that run again: it can be done once more.
 *
 * What is lost is what nobody held: frames in the dead switch's sockets, and those that running guests sent while there
 * was none. For them it was a cable pulled for a while.
 */
import { statSync } from 'node:fs';
import {
  isAdopted,
  nicPort,
  transportOf,
  type GuestDefinition,
  type NetworkDefinition,
  type NicTransport,
} from '../definition/index.js';
import { StillwireError } from '../errors/index.js';
import type { PortId } from '../frame/types.js';
import { attachQemu, qmpSocketOf, type AttachedQemu } from '../guest/index.js';
import { Network, namespaceOf, type AdoptedTap } from '../network/index.js';
import { recoverHeld } from '../hold-queue/recover.js';
import type { DatagramEnds } from '../switch/index.js';
import { closeFd, namespacePath } from '../sys/index.js';
import { everyone } from './everyone.js';
import { NO_STEP, type Step } from './journal.js';
import { LiveNetwork } from './live-network.js';
import { Stopwatch } from './stopwatch.js';

export interface ReattachOptions {
  readonly definition: NetworkDefinition;
  /** The dead network's: guests' sockets and logs are there. */
  readonly runDirectory: string;
  /** Of the dead process; the new one keeps its own there as soon as it has taken over what was in it. */
  readonly holdFile: string;
  /** The guests that ran, as processes that can be known again. */
  readonly guests: readonly { readonly name: string; readonly pid: number; readonly startTime: string }[];
  /** The netdev of every port. */
  readonly devices: Readonly<Record<PortId, string>>;
  /** TAPs of adopted guests, as they are to be given back. */
  readonly borrowed: readonly AdoptedTap[];
  /** Guests that the dead process had stopped: they are resumed if they are paused. */
  readonly resume: readonly string[];
  readonly signal: AbortSignal;
  readonly onPhase?: (phase: string, ms: number) => void;
  readonly beforePhase?: Step;
}

export interface ReattachReport {
  /** Guests that ran before they were stopped, and run again. */
  readonly resumed: readonly string[];
  /** Guests that have died meanwhile. */
  readonly ended: readonly string[];
  /** Frames that were held, and are being delivered now. */
  readonly deliveredFrames: number;
}

/** The hold ends by itself after this, whatever happens to us. */
const REATTACH_LEASE_MS = 15 * 60_000;

/**
 * Takes a network up again: when this resolves its guests run and what was held is being delivered.
 * @throws StillwireError NETWORK_STALE, QMP_TIMEOUT, GUEST_FAILED, NO_PRIVILEGE, SYSCALL with everything left as it was
 */
export async function reattach(
  options: ReattachOptions,
): Promise<{ live: LiveNetwork; report: ReattachReport }> {
  const { definition, holdFile, devices, borrowed, beforePhase = NO_STEP } = options;
  const watch = new Stopwatch(options.onPhase);
  const timed = async <T>(phase: string, work: () => Promise<T>): Promise<T> => {
    await beforePhase(phase);
    options.signal.throwIfAborted();
    return watch.timed(phase, work);
  };
  const attached = new Map<string, AttachedQemu>();
  let live: LiveNetwork | undefined;
  try {
    const found = await timed('guests', () => findGuests(options, attached));
    const { network, hold } = await timed('open', () =>
      Network.attachHeld(definition, REATTACH_LEASE_MS, { devices, borrowed, ...found }, { holdFile }),
    );
    live = new LiveNetwork(network);
    for (const { guest, letGo } of attached.values()) live.admitFound(guest, letGo);
    const frames = await recoverHeld(holdFile);
    await timed('restore', () =>
      hold.restore({ frames, stations: [], nonces: [], cookies: [], addresses: [] }),
    );
    const resumed = await timed('resume', () => resume(options.resume, attached));
    hold.signal.throwIfAborted();
    await timed('release', () => hold.release());
    const ended = Object.keys(definition.guests).filter((name) => !attached.has(name));
    return { live, report: { resumed, ended, deliveredFrames: frames.length } };
  } catch (error) {
    await live?.leave();
    await everyone([...attached.values()], ({ letGo }) => letGo());
    throw error;
  }
}

/** Attaches to the guests and picks the TAPs and pairs of their ports; the rest, the user's own, is let go. */
async function findGuests(
  options: ReattachOptions,
  attached: Map<string, AttachedQemu>,
): Promise<{ taps: Map<PortId, number>; pairs: Map<PortId, DatagramEnds> }> {
  let taps = new Map<PortId, number>();
  try {
    await attachGuests(options, attached);
    const pairs = takePairs(options, attached);
    taps = chooseTaps(options, attached);
    return { taps, pairs };
  } finally {
    closeOthers(attached, taps.values());
  }
}

/** Both ends of the datagram pairs of guests' ports. @throws StillwireError GUEST_FAILED when one is missing */
function takePairs(
  { definition, devices }: ReattachOptions,
  attached: ReadonlyMap<string, AttachedQemu>,
): Map<PortId, DatagramEnds> {
  const taken: number[] = [];
  const take = (guest: string, id: PortId, name: string): number => {
    const fd = attached.get(guest)?.take(name);
    if (fd === undefined) throw lacking(guest, id, name);
    taken.push(fd);
    return fd;
  };
  try {
    const pairs = [...attached.keys()].flatMap((guest) =>
      portsOf(guest, definition.guests[guest], 'dgram').map((id) => {
        const [ours = '', theirs = ''] = devices[id]?.split(' ') ?? [];
        return [id, { socket: take(guest, id, ours), otherEnd: take(guest, id, theirs) }] as const;
      }),
    );
    return new Map(pairs);
  } catch (error) {
    for (const fd of taken) closeFd(fd);
    throw error;
  }
}

const lacking = (guest: string, port: PortId, name: string): StillwireError =>
  new StillwireError('GUEST_FAILED', `guest ${guest} does not hold ${name} of its port ${port} any more`, {
    guest,
    port,
  });

/** Those that live, into `attached`; one that is dead is none of them. */
async function attachGuests(options: ReattachOptions, attached: Map<string, AttachedQemu>): Promise<void> {
  const { runDirectory, signal } = options;
  await everyone(options.guests, async ({ name, ...process }) => {
    const definition = options.definition.guests[name];
    if (definition === undefined) return;
    const qmpSocket = qmpSocketOf(name, definition, runDirectory);
    const known = isAdopted(definition) ? {} : definition;
    try {
      const options = { name, definition: known, ...process, qmpSocket, runDirectory, signal };
      attached.set(name, await attachQemu(options));
    } catch (error) {
      if (!(error instanceof StillwireError && error.code === 'GUEST_DIED')) throw error;
    }
  });
}

/** Of the TAPs that guests hold, those of their ports. @throws StillwireError GUEST_FAILED when one is missing */
function chooseTaps(
  { definition, devices }: ReattachOptions,
  attached: ReadonlyMap<string, AttachedQemu>,
): Map<PortId, number> {
  const namespace = statSync(namespacePath(namespaceOf(definition.network)), { throwIfNoEntry: false })?.ino;
  const chosen = new Map<PortId, number>();
  for (const [name, { taps }] of attached) {
    for (const id of portsOf(name, definition.guests[name], 'tap')) {
      const tap = taps.find((each) => each.device === devices[id] && each.namespace === namespace);
      if (tap === undefined) throw lacking(name, id, `the TAP ${devices[id] ?? ''}`);
      chosen.set(id, tap.fd);
    }
  }
  return chosen;
}

/** Closes every TAP descriptor but these. */
function closeOthers(attached: ReadonlyMap<string, AttachedQemu>, kept: Iterable<number>): void {
  const keep = new Set(kept);
  for (const { taps } of attached.values()) for (const { fd } of taps) if (!keep.has(fd)) closeFd(fd);
}

const portsOf = (guest: string, definition: GuestDefinition | undefined, carriedBy: NicTransport): PortId[] =>
  (definition?.nics ?? [])
    .filter((nic) => transportOf(nic) === carriedBy)
    .map((nic) => nicPort(guest, nic.name));

/** @returns the names of those that were paused and run now */
async function resume(
  names: readonly string[],
  attached: ReadonlyMap<string, AttachedQemu>,
): Promise<string[]> {
  const resumed: string[] = [];
  await everyone(names, async (name) => {
    const guest = attached.get(name)?.guest;
    if (guest === undefined || (await guest.runState()) !== 'paused') return;
    await guest.resume();
    resumed.push(name);
  });
  return resumed.sort();
}
