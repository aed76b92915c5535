/**
 * Bringing a checkpoint back: new devices, new guests, the same frames.
 *
 *   verify   every file's hash, before anything is touched; then what the guests need on this machine. The states stay
 *            open from before they are hashed until QEMU has them: what was verified is what is loaded
 *   open     the network, held from its first moment, with the saved frames and stations in it
 *   load     every guest, paused; nothing runs until all are loaded
 *   resume   those that ran at the cut
 *   release  saved frames in their order, then live traffic
 *
 * A failure before the release ends what was started and leaves nothing.
 */
import { StillwireError } from '../errors/index.js';
import type { NetworkDefinition } from '../definition/index.js';
import { openImage, type Image } from '../image/index.js';
import { Network, type Hold } from '../network/index.js';
import { everyone } from './everyone.js';
import { NO_JOURNAL, NO_STEP, type Journal } from './journal.js';
import { LiveNetwork } from './live-network.js';
import { Stopwatch } from './stopwatch.js';
import { checkSurroundings } from './surroundings.js';

export interface RestoreOptions {
  /** Of the image. */
  readonly directory: string;
  /** Another name for the network, to run a copy beside the original. */
  readonly as?: string;
  readonly onPhase?: (phase: string, ms: number) => void;
  /** Where frames are kept that wait in a hold, so that they outlive this process. */
  readonly holdFile?: string;
}

export interface RestartOptions extends RestoreOptions {
  /** Where guests put sockets and logs, by the network's name; exists or is made by this call's owner. */
  readonly runDirectory: string | ((network: string) => string);
  readonly signal: AbortSignal;
  /** Disks that the checkpoint did not save are in its state: their owner says so. */
  readonly forceDisks?: boolean;
  /** Wall clock at the command's start, milliseconds; default now. */
  readonly startedAtMs?: number;
  /** Called before each phase; what it throws is a failure of that phase. For the injection of faults. */
  readonly beforePhase?: (phase: string) => Promise<void>;
  /** Told what whoever comes after us would need to know, should this process be killed. */
  readonly journal?: Journal;
  /** Every guest is loaded, and none runs yet: the time to write down who they are. */
  readonly onLoaded?: (live: LiveNetwork) => void;
}

export interface RestartReport {
  readonly name: string;
  readonly network: string;
  readonly path: string;
  /** Command start → last guest running. */
  readonly restartMs: number;
  readonly phases: Readonly<Record<string, number>>;
  readonly reinjectedFrames: number;
  readonly guests: readonly { readonly name: string; readonly state: string }[];
}

export interface RestoreReport {
  readonly name: string;
  readonly network: string;
  readonly path: string;
  readonly reinjectedFrames: number;
}

const RESTART_LEASE_MS = 15 * 60_000;
export const DEFAULT_RESTORE_LEASE_MS = 5 * 60_000;

/** Opens the network of an image, held, with its frames and stations in it. */
async function openHeld(
  image: Image,
  { as, holdFile }: RestoreOptions,
  leaseMs: number,
): Promise<{ network: Network; hold: Hold }> {
  const { stations, sentinels, cookies, addresses } = image.manifest;
  const definition: NetworkDefinition = {
    ...image.manifest.definition,
    network: as ?? image.manifest.definition.network,
  };
  const frames = await image.frames();
  const { network, hold } = await Network.openHeld(
    definition,
    leaseMs,
    holdFile === undefined ? {} : { holdFile },
  );
  try {
    const fromHex = (nonce: string): Buffer => Buffer.from(nonce, 'hex');
    await hold.restore({
      frames,
      stations,
      nonces: sentinels.map(fromHex),
      cookies: cookies.map(fromHex),
      addresses,
    });
    return { network, hold };
  } catch (error) {
    await network.close();
    throw error;
  }
}

/**
 * Restarts a checkpoint: when this resolves, the guests run and the saved frames are being delivered.
 * @throws StillwireError IMAGE_INVALID, IMAGE_UNSUPPORTED, MACHINE_CHANGED, DISKS_UNMANAGED before anything is touched;
 *   NETWORK_STALE, GUEST_FAILED and others with everything removed again
 */
export async function restart(
  options: RestartOptions,
): Promise<{ live: LiveNetwork; report: RestartReport }> {
  const { startedAtMs = Date.now(), beforePhase = NO_STEP } = options;
  const watch = new Stopwatch(options.onPhase);
  const timed: Timed = async (phase, work) => {
    await beforePhase(phase);
    return watch.timed(phase, work);
  };
  const image = await timed('verify', () => openImage(options.directory, { pin: true }));
  try {
    return await bringBack(image, { ...options, startedAtMs }, { watch, timed });
  } finally {
    image.close();
  }
}

type Timed = <T>(phase: string, work: () => Promise<T>) => Promise<T>;

async function bringBack(
  image: Image,
  options: RestartOptions & { readonly startedAtMs: number },
  { watch, timed }: { readonly watch: Stopwatch; readonly timed: Timed },
): Promise<{ live: LiveNetwork; report: RestartReport }> {
  const { startedAtMs, journal = NO_JOURNAL } = options;
  const { manifest } = image;
  refuseDisks(image, options.forceDisks ?? false);
  await timed('check', () => checkSurroundings(manifest));
  journal.record({ phase: 'loading', image: options.directory });
  const { network, hold } = await timed('open', () => openHeld(image, options, RESTART_LEASE_MS));
  const live = new LiveNetwork(network);
  // With the hold the saved frames are lost: they went to guests that do not run.
  const signal = AbortSignal.any([options.signal, hold.signal]);
  try {
    const runDirectory =
      typeof options.runDirectory === 'string'
        ? options.runDirectory
        : options.runDirectory(live.definition.network);
    await timed('load', () =>
      live.startGuests({ runDirectory, signal }, (guest) => {
        const record = manifest.guests[guest];
        if (record?.state === undefined) return 'ended';
        const machine = record.identity === undefined ? {} : { machine: record.identity.machine };
        return { stateFile: image.pinned(record.state), checkpointId: manifest.checkpointId, ...machine };
      }),
    );
    signal.throwIfAborted();
    const running = [...live.guests.values()].filter(
      ({ name }) => manifest.guests[name]?.runState === 'running',
    );
    options.onLoaded?.(live);
    const resume = running.map(({ name }) => name);
    journal.record({ phase: 'resuming', image: options.directory, resume });
    await timed('resume', () => everyone(running, (guest) => guest.resume()));
    signal.throwIfAborted();
    const restartMs = Date.now() - startedAtMs;
    await timed('release', () => hold.release());
    live.handOver();
    journal.clear();
    const guests = Object.entries(manifest.guests).map(([name, { runState }]) => ({ name, state: runState }));
    const { name, inFlightFrames } = manifest;
    const path = options.directory;
    const report = {
      name,
      network: live.definition.network,
      path,
      restartMs,
      phases: watch.phases,
      reinjectedFrames: inFlightFrames,
      guests,
    };
    return { live, report };
  } catch (error) {
    await live.close();
    throw error;
  }
}

function refuseDisks({ manifest }: Image, forced: boolean): void {
  if (forced) return;
  const guest = Object.entries(manifest.guests).find(([, { disksUnmanaged }]) => disksUnmanaged)?.[0];
  if (guest === undefined) return;
  const words = `guest ${guest} had disks this checkpoint did not save`;
  throw new StillwireError('DISKS_UNMANAGED', words, { guest });
}

/**
 * Brings network and frames back without guests, held: for those who restore the machines themselves. The hold's
 * lease is theirs to renew.
 */
export async function restore(
  options: RestoreOptions & { readonly leaseMs?: number },
): Promise<{ live: LiveNetwork; hold: Hold; report: RestoreReport }> {
  const watch = new Stopwatch(options.onPhase);
  const image = await watch.timed('verify', () => openImage(options.directory));
  const leaseMs = options.leaseMs ?? DEFAULT_RESTORE_LEASE_MS;
  const { network, hold } = await watch.timed('open', () => openHeld(image, options, leaseMs));
  const { name, inFlightFrames } = image.manifest;
  const report = {
    name,
    network: network.definition.network,
    path: options.directory,
    reinjectedFrames: inFlightFrames,
  };
  return { live: new LiveNetwork(network), hold, report };
}
