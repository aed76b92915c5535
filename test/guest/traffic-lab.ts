/**
 * Networks of test guests under traffic, run by the library in the test's own process: their checkpoints, restarts and
 * final account. Code comes from the build, since a switch thread cannot be started from TypeScript; another build
 * than dist/ may be named by STILLWIRE_DIST.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CheckpointOptions, CheckpointReport, LiveNetwork } from '../../src/checkpoint/index.js';
import type { NetworkDefinition } from '../../src/definition/index.js';
import type { GuestConsole } from '../../src/demo/guest-console.js';
import type { Tally } from '../../src/demo/tally.js';
import type { StillwireError } from '../../src/errors/index.js';
import type { Load, TestGuest } from '../../src/demo/traffic-network.js';

const build = process.env['STILLWIRE_DIST'] ?? fileURLToPath(new URL('../../dist', import.meta.url));
const load = async (path: string): Promise<unknown> => import(/* @vite-ignore */ `${build}/${path}`);

const rooms = {
  errors: (await load('errors/index.js')) as typeof import('../../src/errors/index.js'),
  checkpoint: (await load('checkpoint/index.js')) as typeof import('../../src/checkpoint/index.js'),
  image: (await load('image/index.js')) as typeof import('../../src/image/index.js'),
  qmp: (await load('guest/qmp.js')) as typeof import('../../src/guest/qmp.js'),
  console: (await load('demo/guest-console.js')) as typeof import('../../src/demo/guest-console.js'),
  result: (await load('demo/result.js')) as typeof import('../../src/demo/result.js'),
  tally: (await load('demo/tally.js')) as typeof import('../../src/demo/tally.js'),
  guests: (await load('demo/traffic-network.js')) as typeof import('../../src/demo/traffic-network.js'),
};
export const { flatGuests, ROUTED_GUESTS } = rooms.guests;
export const { isFaultless } = rooms.tally;
export const { openImage, verifyImage } = rooms.image;

/** The StillwireError, of the build, that a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<StillwireError> {
  const outcome: unknown = await promise.then(
    () => new Error('nothing failed'),
    (error: unknown) => error,
  );
  if (outcome instanceof rooms.errors.StillwireError) return outcome;
  throw outcome;
}

/** Boots, and closing exchanges, on a machine that has other work. */
export const PATIENCE = { withinMs: 90_000 };
const never = new AbortController().signal;
let networks = 0;

export const namespaces = (): string => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });

export class TrafficLab {
  readonly directory: string;
  /** Where its checkpoints go. */
  readonly checkpoints: string;
  readonly definition: NetworkDefinition;
  readonly #consoles: ReadonlyMap<string, GuestConsole>;
  readonly #senders: readonly string[];
  readonly #guests: Readonly<Record<string, TestGuest>>;
  #live: LiveNetwork | undefined;

  private constructor(directory: string, guests: Readonly<Record<string, TestGuest>>, traffic?: Load) {
    this.directory = directory;
    this.checkpoints = join(directory, 'checkpoints');
    this.#guests = guests;
    const name = `t${process.pid}-${networks++}`;
    this.definition = rooms.guests.testNetwork(name, directory, guests, traffic);
    this.#consoles = new Map(
      Object.keys(guests).map((guest) => [guest, new rooms.console.GuestConsole(guest, directory)]),
    );
    this.#senders = Object.keys(guests).filter((guest) => guests[guest]?.peers !== undefined);
  }

  /**
   * Boots guests and waits until all traffic flows and the others are ready.
   * @param guests - or a function of the lab's directory, for files in it
   */
  static async boot(
    guests:
      Readonly<Record<string, TestGuest>> | ((directory: string) => Readonly<Record<string, TestGuest>>),
    traffic?: Load,
  ): Promise<TrafficLab> {
    const directory = await mkdtemp(join(tmpdir(), 'swt-'));
    const lab = new TrafficLab(directory, typeof guests === 'function' ? guests(directory) : guests, traffic);
    try {
      await mkdir(join(directory, 'run'));
      rooms.guests.makeConsolePipes(directory, lab.#guests);
      const options = { runDirectory: join(directory, 'run'), signal: never };
      lab.#live = await rooms.checkpoint.LiveNetwork.up(lab.definition, options);
      await Promise.all([...lab.#consoles.values()].map((each) => each.said('stillwire-guest', PATIENCE)));
      await rooms.result.trafficRuns(lab.senders, PATIENCE);
      return lab;
    } catch (error) {
      await lab.end();
      throw error;
    }
  }

  get live(): LiveNetwork {
    if (this.#live === undefined) throw new Error('nothing runs in this lab');
    return this.#live;
  }

  console(guest: string): GuestConsole {
    const found = this.#consoles.get(guest);
    if (found === undefined) throw new Error(`no guest ${guest}`);
    return found;
  }

  get senders(): GuestConsole[] {
    return this.#senders.map((guest) => this.console(guest));
  }

  /** With `kill` the network is closed afterwards, as a daemon does. */
  async checkpoint(name: string, options: Partial<CheckpointOptions> = {}): Promise<CheckpointReport> {
    const report = await rooms.checkpoint.takeCheckpoint(this.live, {
      name,
      directory: this.checkpoints,
      signal: never,
      bounds: { drainMs: 1000 }, // ends by itself; a guest on a busy machine may need more than the usual 100
      ...options,
    });
    if (options.kill === true) await this.close();
    return report;
  }

  async restart(
    directory: string,
    options: { as?: string; onPhase?: (phase: string) => void } = {},
  ): Promise<void> {
    const runDirectory = join(this.directory, 'run');
    const { live } = await rooms.checkpoint.restart({ directory, runDirectory, signal: never, ...options });
    this.#live = live;
  }

  /** A checkpoint with kill, and the restart from it. */
  async killAndRestart(name: string, options: Partial<CheckpointOptions> = {}): Promise<CheckpointReport> {
    const report = await this.checkpoint(name, { ...options, kill: true });
    await this.restart(report.path);
    return report;
  }

  /** Ends the traffic; the account of all senders. */
  async finish(): Promise<Tally> {
    return rooms.tally.tallyUp(await rooms.result.finishTraffic(this.senders, PATIENCE));
  }

  /** Runs one command on the guest's own QMP socket, `NAME.qmp` in the lab's directory. */
  async qmp(guest: string, command: string): Promise<unknown> {
    const path = ownMonitor(this.directory, guest);
    const client = await rooms.qmp.QmpClient.connect(path, { guest, timeoutMs: 10_000 });
    try {
      return await client.execute(command);
    } finally {
      client.close();
    }
  }

  /** Ends guests and network; images and consoles stay. */
  async close(): Promise<void> {
    await this.#live?.close();
    this.#live = undefined;
  }

  async end(): Promise<void> {
    await this.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

const ownMonitor = (directory: string, guest: string): string => join(directory, `${guest}.qmp`);

/** QEMU arguments for a monitor of the user's own, beside Stillwire's. */
export const monitorArguments = (directory: string, guest: string): string[] => [
  '-qmp',
  `unix:${ownMonitor(directory, guest)},server=on,wait=off`,
];
