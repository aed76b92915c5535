/** Guests on a network of Stillwire's, saved by QEMU or by DMTCP: the library in this very process. */
import { join } from 'node:path';
import { LiveNetwork, restart, takeCheckpoint } from '../../checkpoint/index.js';
import type { NetworkDefinition } from '../../definition/index.js';
import type { GuestConsole } from '../../demo/guest-console.js';
import { namespaceOf } from '../../network/index.js';
import type { SavingLab } from './lab.js';

/** A drain ends when the guests have read all; emulated guests on a machine with two processors may need more than usual. */
const BOUNDS = { drainMs: 1000 };

export class StillwireLab implements SavingLab {
  readonly consoles: readonly GuestConsole[];
  readonly namespace: string;
  readonly #definition: NetworkDefinition;
  readonly #directory: string;
  readonly #signal: AbortSignal;
  #live: LiveNetwork | undefined;
  /** Of the last checkpoint. */
  #path = '';
  #saved = 0;

  /** @param directory exists; takes everything */
  constructor(
    definition: NetworkDefinition,
    consoles: readonly GuestConsole[],
    directory: string,
    signal: AbortSignal,
  ) {
    this.consoles = consoles;
    this.namespace = namespaceOf(definition.network);
    this.#definition = definition;
    this.#directory = directory;
    this.#signal = signal;
  }

  async up(): Promise<void> {
    const options = { runDirectory: this.#directory, signal: this.#signal };
    this.#live = await LiveNetwork.up(this.#definition, options);
  }

  async save(kill: boolean): Promise<string[]> {
    const { proven, path } = await takeCheckpoint(this.#live!, {
      name: `save${++this.#saved}`,
      directory: join(this.#directory, 'checkpoints'),
      signal: this.#signal,
      bounds: BOUNDS,
      kill,
    });
    this.#path = path;
    if (kill) await this.end();
    return proven ? [] : ['a cut was not proven'];
  }

  async restart(): Promise<void> {
    const runDirectory = this.#directory;
    this.#live = (await restart({ directory: this.#path, runDirectory, signal: this.#signal })).live;
  }

  async end(): Promise<void> {
    const live = this.#live;
    this.#live = undefined;
    await live?.close();
  }
}
