/**
 * Networks of guests under DMTCP as their users have them: a daemon, the command line, and checkpoints that nobody asked
 * Stillwire for. All are killed, and restarted from what the daemon made of one.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, vi } from 'vitest';
import type { GuestConsole } from '../../src/demo/guest-console.js';
import type { TestGuest } from '../../src/demo/traffic-network.js';
import type { CheckpointSummary } from '../../src/image/index.js';
import { loadOf, portIn, tapsOf, turnGuests } from './dmtcp-lab.js';
import { isFaultless, namespaces, PATIENCE } from './traffic-lab.js';

const dist = process.env['STILLWIRE_DIST'] ?? fileURLToPath(new URL('../../dist', import.meta.url));
const load = async (path: string): Promise<unknown> => import(/* @vite-ignore */ `${dist}/${path}`);
const daemon = (await load('daemon/index.js')) as typeof import('../../src/daemon/index.js');
const networks = (await load(
  'demo/traffic-network.js',
)) as typeof import('../../src/demo/traffic-network.js');
const consoles = (await load('demo/guest-console.js')) as typeof import('../../src/demo/guest-console.js');
const results = (await load('demo/result.js')) as typeof import('../../src/demo/result.js');
const tally = (await load('demo/tally.js')) as typeof import('../../src/demo/tally.js');
const images = (await load('image/index.js')) as typeof import('../../src/image/index.js');

const execute = promisify(execFile);
let labs = 0;

interface Life {
  readonly pid: number;
  /** Device names of its TAPs. */
  readonly taps: readonly string[];
}

export class DaemonLab {
  readonly #scratch: string;
  readonly #guests: Readonly<Record<string, TestGuest>>;
  readonly #consoles: readonly GuestConsole[];
  readonly #name: string;
  /** What the network is called now: a restart may have given it another name. */
  #network: string;
  /** Its guests' processes, since they were started last. */
  #lives: ReadonlyMap<string, Life> = new Map();
  /** What the switch has dropped in all lives of the network: an account with faults is told with it. */
  readonly #dropped: string[] = [];

  private constructor(scratch: string, guests: Readonly<Record<string, TestGuest>>) {
    this.#scratch = scratch;
    this.#guests = guests;
    this.#name = `swtd${process.pid}-${labs++}`;
    this.#network = this.#name;
    this.#consoles = Object.keys(guests).map((guest) => new consoles.GuestConsole(guest, scratch));
  }

  /** Has a daemon boot the guests; resolves when all traffic flows. */
  static async boot(guests: Readonly<Record<string, TestGuest>>): Promise<DaemonLab> {
    const lab = new DaemonLab(await mkdtemp(join(tmpdir(), 'swtd-')), guests);
    process.env['STILLWIRE_RUN'] = join(lab.#scratch, 'run');
    process.env['STILLWIRE_STATE'] = join(lab.#scratch, 'state');
    try {
      await mkdir(join(lab.#scratch, 'run'), { mode: 0o700 });
      networks.makeConsolePipes(lab.#scratch, guests);
      const definition = networks.testNetwork(
        lab.#name,
        lab.#scratch,
        guests,
        loadOf(Object.keys(guests).length),
      );
      await daemon.launchDaemon({ kind: 'up', definition });
      await results.trafficRuns(lab.#consoles, PATIENCE);
      lab.#lives = await lab.#look();
      return lab;
    } catch (error) {
      await lab.end();
      throw error;
    }
  }

  /** Where the network's own coordinator listens, of this life. */
  get coordinatorPort(): string {
    return portIn(join(this.#scratch, 'run', this.#network, 'dmtcp.port'));
  }

  #log(): string {
    return readFileSync(join(this.#scratch, 'run', this.#network, 'daemon.log'), 'utf8').slice(-4000);
  }

  /** The product's command line. @throws what it said, when it failed */
  async #stillwire(...args: string[]): Promise<void> {
    await execute(process.execPath, [join(dist, 'cli/main.js'), ...args]);
  }

  /** Begins a checkpoint, or knows that one will begin; resolves with the first that the daemon has made since. */
  async meetOne(begin: () => void | Promise<void>): Promise<CheckpointSummary> {
    const state = join(this.#scratch, 'state');
    const list = (): Promise<CheckpointSummary[]> => images.listCheckpoints(state, this.#network);
    const before = (await list()).map(({ path }) => path);
    await begin();
    const added = async (): Promise<CheckpointSummary | undefined> =>
      (await list()).find(({ path }) => !before.includes(path));
    const found = await vi.waitUntil(added, { timeout: 90_000, interval: 50 }).catch((error: unknown) => {
      throw new Error(`no checkpoint; the daemon says:\n${this.#log()}`, { cause: error });
    });
    expect(found).toMatchObject({ proven: true, guests: this.#consoles.length });
    expect(found.name).toMatch(/^dmtcp-/);
    const { faults, manifest } = await images.verifyImage(found.path);
    expect(faults).toEqual([]);
    expect(manifest!.requires).toContain('dmtcp-image');
    await this.#noteDrops(found.name);
    return found;
  }

  async #noteDrops(when: string): Promise<void> {
    const client = await daemon.DaemonClient.connect({ network: this.#network });
    for (const { port, in: taken, out } of (await client.status()).ports) {
      if (taken.discarded + out.dropped === 0) continue;
      const reasons = JSON.stringify(out.reasons);
      this.#dropped.push(`${when} ${port}: discarded ${taken.discarded}, dropped ${out.dropped} ${reasons}`);
    }
  }

  /**
   * Ends all, and brings the checkpoint back: as a network of the other of two names each time, and each guest on a TAP
   * of another name.
   * @param kill ends the guests by other means, before the network is taken down
   */
  async killAndRestart({ path }: CheckpointSummary, kill?: () => void): Promise<void> {
    const before = this.#lives;
    const old = this.#network;
    kill?.();
    await this.#stillwire('down', '-n', old);
    await turnGuests(path);
    this.#network = old === this.#name ? `${this.#name}-b` : this.#name;
    await this.#stillwire('restart', path, '--as', this.#network);
    expect(namespaces()).not.toMatch(new RegExp(`^stillwire-${old}\\b(?!-)`, 'm'));
    const after = (this.#lives = await this.#look());
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    for (const [guest, { pid, taps }] of after) {
      const was = before.get(guest)!;
      expect(pid).not.toBe(was.pid);
      expect(taps).toHaveLength(1);
      expect(taps).not.toEqual(was.taps);
    }
  }

  async #look(): Promise<Map<string, Life>> {
    const client = await daemon.DaemonClient.connect({ network: this.#network });
    const { guests } = await client.status();
    return new Map(guests.map(({ name, pid }) => [name, { pid: pid!, taps: tapsOf(pid!) }]));
  }

  async expectFaultless(): Promise<void> {
    const account = tally.tallyUp(await results.finishTraffic(this.#consoles, PATIENCE));
    await this.#noteDrops('end');
    const words = [JSON.stringify(account), 'Dropped by the switch:', ...this.#dropped, this.#log()];
    expect(account, words.join('\n')).toSatisfy(isFaultless);
    const guests = Object.keys(this.#guests).length;
    expect(account.flows).toBe(guests * (guests - 1) * 2);
  }

  async end(): Promise<void> {
    for (const { network, state } of await daemon.runningNetworks()) {
      if (state === 'stale') await daemon.removeStale(network);
      else await (await daemon.DaemonClient.connect({ network })).down();
    }
    delete process.env['STILLWIRE_RUN'];
    delete process.env['STILLWIRE_STATE'];
    await rm(this.#scratch, { recursive: true, force: true });
  }
}
