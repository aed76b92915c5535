/**
 * The same guests without Stillwire: their TAPs in a Linux bridge, saved and brought back by DMTCP alone. What DMTCP
 * makes of a TAP is what is to be seen; the guests' consoles are fifos, which it brings back.
 */
import { readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isAdopted, type NetworkDefinition } from '../../definition/index.js';
import type { GuestConsole } from '../../demo/guest-console.js';
import { StillwireError } from '../../errors/index.js';
import { qemuArguments } from '../../guest/index.js';
import { QemuProcess } from '../../guest/qemu-process.js';
import { keepInheritedFds } from '../../sys/fd.js';
import type { Ground } from '../ground.js';
import { until, type Running } from '../program.js';
import type { SavingLab } from './lab.js';

const POLL_MS = 10;
/** For an image to be written, compressed perhaps, on a machine with two processors. */
const SAVE_BOUND_MS = 180_000;

export interface AloneParts {
  readonly ground: Ground;
  readonly definition: NetworkDefinition;
  readonly consoles: readonly GuestConsole[];
  /** Exists; takes everything. */
  readonly directory: string;
  readonly gzip: boolean;
  /** Made for all labs of this kind, by {@link Ground.namespace}. */
  readonly namespace: string;
}

export class AloneLab implements SavingLab {
  readonly consoles: readonly GuestConsole[];
  readonly namespace: string;
  readonly #parts: AloneParts;
  readonly #images: string;
  readonly #taps: string[] = [];
  #coordinator: Running | undefined;
  #port = '';
  #processes: QemuProcess[] = [];

  constructor(parts: AloneParts) {
    this.#parts = parts;
    this.consoles = parts.consoles;
    this.namespace = parts.namespace;
    this.#images = join(parts.directory, 'images');
  }

  #ip(...words: string[]): Promise<string> {
    return this.#parts.ground.ip('-n', this.namespace, ...words);
  }

  async up(): Promise<void> {
    const { definition } = this.#parts;
    await this.#ip('link', 'add', 'bridge', 'type', 'bridge', 'mcast_snooping', '0');
    await this.#ip('link', 'set', 'bridge', 'up');
    await this.#coordinate();
    for (const [name, guest] of Object.entries(definition.guests)) {
      if (isAdopted(guest)) throw new StillwireError('INTERNAL', 'a guest of a lab is started by it');
      const taps = await Promise.all(guest.nics.map((_, nic) => this.#tap(`${name}-${nic}`)));
      const fds = taps.map((_, nic) => nic);
      const own = qemuArguments(guest, { name, tapFds: fds, incoming: false }).map((word) =>
        word.replace(/^(tap,id=\S+?),fd=(\d+),/, (_all, id: string, nic: string) => {
          return `${id},ifname=${taps[Number(nic)]!},script=no,downscript=no,`;
        }),
      );
      const how = this.#parts.gzip ? '--gzip' : '--no-gzip';
      await this.#start(name, 'dmtcp_launch', [how, guest.qemu, ...own]);
    }
    await this.#peers(this.#processes.length);
  }

  async #tap(name: string): Promise<string> {
    await this.#ip('tuntap', 'add', name, 'mode', 'tap', 'vnet_hdr');
    this.#taps.push(name);
    await this.#ip('link', 'set', name, 'master', 'bridge', 'up');
    return name;
  }

  async #coordinate(): Promise<void> {
    const { ground, directory } = this.#parts;
    const file = join(directory, 'port');
    const places = ['--port-file', file, '--ckptdir', this.#images, '--tmpdir', directory];
    const program = ['dmtcp_coordinator', '--coord-port', '0', ...places];
    this.#coordinator = await ground.start({ namespace: this.namespace }, program);
    const isTold = async (): Promise<boolean> => {
      this.#port = (await readFile(file, 'latin1').catch(() => '')).trim();
      return /^\d+$/.test(this.#port);
    };
    await until(isTold, ground.signal, () => this.#coordinator!.failure('does not tell its port'));
  }

  get #there(): string[] {
    return ['--coord-host', '127.0.0.1', '--coord-port', this.#port];
  }

  async #start(guest: string, program: string, words: readonly string[]): Promise<void> {
    const { directory } = this.#parts;
    const places = ['--join-coordinator', ...this.#there, '--ckptdir', this.#images, '--tmpdir', directory];
    keepInheritedFds();
    const started = await QemuProcess.start({
      guest,
      program: 'ip',
      args: ['netns', 'exec', this.namespace, program, ...places, ...words],
      fds: [],
      logFile: join(directory, `${guest}.${program}`),
    });
    this.#processes.push(started);
  }

  #command(word: string): Promise<string> {
    const where = { namespace: this.namespace };
    return this.#parts.ground.run(where, 'dmtcp_command', ...this.#there, word);
  }

  async #peers(count: number): Promise<void> {
    const isSo = async (): Promise<boolean> =>
      Number(/NUM_PEERS\s*=\s*(\d+)/.exec(await this.#command('--status'))?.[1] ?? 0) === count;
    const late = (): Error => new StillwireError('TIMED_OUT', 'DMTCP has not got every guest');
    await until(isSo, this.#parts.ground.signal, late);
  }

  async save(kill: boolean): Promise<string[]> {
    await rm(this.#images, { recursive: true, force: true });
    await this.#command('--checkpoint');
    await until(
      () => this.#areWritten(),
      this.#parts.ground.signal,
      () => new StillwireError('TIMED_OUT', 'DMTCP has not written every image'),
      SAVE_BOUND_MS,
    );
    if (kill) await this.#killAll();
    return [];
  }

  /** DMTCP gives an image its name when all of it is written. */
  async #areWritten(): Promise<boolean> {
    const names = await readdir(this.#images).catch(() => []);
    const whole = names.filter((name) => name.endsWith('.dmtcp'));
    return whole.length === this.#processes.length && !names.some((name) => name.endsWith('.temp'));
  }

  async #killAll(): Promise<void> {
    await Promise.all(this.#processes.splice(0).map((each) => each.kill()));
  }

  async restart(): Promise<void> {
    const images = (await readdir(this.#images)).filter((name) => name.endsWith('.dmtcp'));
    await this.#peers(0);
    for (const [i, image] of images.entries()) {
      await this.#start(`image${i}`, 'dmtcp_restart', [join(this.#images, image)]);
    }
    await delay(POLL_MS);
  }

  async end(): Promise<void> {
    await this.#killAll();
    await this.#coordinator?.end();
    this.#coordinator = undefined;
    for (const tap of this.#taps.splice(0)) await this.#ip('link', 'delete', tap).catch(() => undefined);
    await this.#ip('link', 'delete', 'bridge').catch(() => undefined);
  }
}
