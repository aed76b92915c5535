/**
 * Saving: the same guests saved by DMTCP alone, by DMTCP with Stillwire and by QEMU with Stillwire, all in one run. In each
 * round each saver has its turn with every number of guests, and each round begins with another one.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { NetworkDefinition } from '../../definition/index.js';
import { GuestConsole } from '../../demo/guest-console.js';
import { makeConsolePipes, testNetwork, type GuestImage } from '../../demo/traffic-network.js';
import { canFork, dmtcpVersion } from '../../dmtcp/programs.js';
import { StillwireError } from '../../errors/index.js';
import { namespaceOf } from '../../network/index.js';
import { compile } from '../compile.js';
import { booting, loopImage } from '../guest-image.js';
import type { MeasuredRow } from '../row.js';
import type { Stage, Trial } from '../stage.js';
import { AloneLab } from './alone-lab.js';
import { measureSaving, type SavingFigures } from './figures.js';
import type { SavingLab } from './lab.js';
import { choose, GUEST_COUNTS, SAVERS, whyNothing, type FoundDmtcp, type Paths, type Saver } from './plan.js';
import type { SavingDocument, SavingRow } from './saving-report.js';
import { StillwireLab } from './stillwire-lab.js';
import { LOAD, savedGuests } from './voices.js';

/** Without a network the generators' closing exchange comes to no end. */
const GIVE_UP_S = '5';

export class SavingTrial implements Trial {
  readonly name = 'saving';
  readonly #forkedDirectory: string | undefined;
  readonly #say: (text: string) => void;
  readonly #figures = new Map<string, SavingFigures[]>();
  readonly #failed = new Map<string, string[]>();
  #notRun: SavingDocument['notRun'] = [];
  #paths: Paths = new Map();
  #version: string | undefined;
  #stage: Stage | undefined;
  #silence = '';
  #image: GuestImage | undefined;
  #aloneNamespace = '';
  #labs = 0;

  /** @param forkedDirectory programs of a DMTCP with forked checkpointing, where that on PATH has none */
  constructor(forkedDirectory: string | undefined, say: (text: string) => void) {
    this.#forkedDirectory = forkedDirectory;
    this.#say = say;
  }

  missing(): Promise<string | undefined> {
    return whyNothing();
  }

  async open(stage: Stage): Promise<void> {
    const { ground } = stage;
    this.#stage = stage;
    const path = process.env['PATH'] ?? '';
    const found = await this.#findDmtcp(path);
    this.#version = found.version;
    const chosen = choose(found, path);
    this.#paths = chosen.paths;
    this.#notRun = chosen.notRun;
    for (const { name, why } of this.#notRun) this.#say(`saving: not measured: ${name}: ${why}`);
    this.#silence = await compile(ground, 'silence');
    this.#image = await loopImage(ground);
    this.#aloneNamespace = await ground.namespace('alone');
  }

  async #findDmtcp(path: string): Promise<FoundDmtcp> {
    const version = await dmtcpVersion().catch(() => undefined);
    const forks = await canFork();
    const directory = this.#forkedDirectory;
    if (directory === undefined) return { version, forks, other: undefined };
    return this.#onPath(`${directory}:${path}`, async () => {
      return { version, forks, other: { directory, forks: await canFork() } };
    });
  }

  /** Programs are found by PATH, ours and those we start: what is done meanwhile finds those of this one. */
  async #onPath<T>(path: string, what: () => Promise<T>): Promise<T> {
    const before = process.env['PATH'];
    process.env['PATH'] = path;
    try {
      return await what();
    } finally {
      process.env['PATH'] = before;
    }
  }

  async round(number: number): Promise<void> {
    const turns = GUEST_COUNTS.flatMap((guests) =>
      [...this.#paths].map(([saver, path]) => ({ guests, saver, path })),
    );
    for (const i of turns.keys()) {
      const { guests, saver, path } = turns[(i + number) % turns.length]!;
      const name = nameOf(saver, guests);
      try {
        const figures = await this.#onPath(path, () => this.#measure(saver, guests));
        this.#figures.set(name, [...(this.#figures.get(name) ?? []), figures]);
        this.#say(`saving: ${name}: ${JSON.stringify(figures)}`);
      } catch (error) {
        this.#stage!.ground.signal.throwIfAborted();
        const { message } = StillwireError.from(error);
        this.#failed.set(name, [...(this.#failed.get(name) ?? []), message]);
        this.#say(`saving: ${name}: FAILED: ${message}`);
      }
    }
  }

  async #measure(saver: Saver, guests: number): Promise<SavingFigures> {
    const { ground } = this.#stage!;
    const network = ground.name(`s${this.#labs++}`);
    const directory = join(ground.directory, network);
    await mkdir(directory, { mode: 0o700 });
    const lab = this.#lab(saver, guests, network, directory);
    ground.defer(() => lab.end());
    ground.removeLater(namespaceOf(network));
    try {
      return await measureSaving(ground, this.#silence, lab);
    } finally {
      await lab.end();
      await rm(directory, { recursive: true, force: true }); // images of a whole run would fill the disk
    }
  }

  #lab(saver: Saver, count: number, network: string, directory: string): SavingLab {
    const { ground } = this.#stage!;
    const { kind, gzip = false, forked = false } = saver;
    const options = kind === 'alone' ? ['--finish-timeout', GIVE_UP_S] : [];
    const plain = savedGuests(count, options);
    const dmtcp = { gzip, forked };
    const guests = Object.fromEntries(
      Object.entries(plain).map(([name, guest]) => [name, kind === 'qemu' ? guest : { ...guest, dmtcp }]),
    );
    makeConsolePipes(directory, guests);
    const described = testNetwork(network, directory, guests, LOAD);
    const definition: NetworkDefinition = count === 1 ? booting(described, this.#image!) : described;
    const consoles = Object.keys(guests).map((name) => new GuestConsole(name, directory));
    if (kind !== 'alone') return new StillwireLab(definition, consoles, directory, ground.signal);
    const namespace = this.#aloneNamespace;
    return new AloneLab({ ground, definition, consoles, directory, gzip, namespace });
  }

  /** Its rows have a table of their own. */
  rows(): MeasuredRow[] {
    return [];
  }

  document(): SavingDocument {
    const rows = GUEST_COUNTS.flatMap((guests) =>
      SAVERS.filter((saver) => this.#paths.has(saver)).map((saver): SavingRow => {
        const name = nameOf(saver, guests);
        const rounds = this.#figures.get(name) ?? [];
        return { guests, saver: saver.name, rounds, failed: this.#failed.get(name) ?? [] };
      }),
    );
    return { dmtcp: this.#version ?? null, load: LOAD, rows, notRun: this.#notRun };
  }
}

const nameOf = (saver: Saver, guests: number): string => `${guests} × ${saver.name}`;
