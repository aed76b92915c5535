/**
 * A QEMU under DMTCP as a {@link Guest}. There is no monitor to speak to it by (DMTCP waits for ever for what is under
 * way in a stream socket to a process outside): what is known of it is its process, and what its plugin reports.
 *
 * Stopped it is only within a checkpoint of DMTCP's, of all guests that run under it, which lets it go on after one
 * image: so a second save of one stop has nothing to write, and is refused.
 *
 * Whoever begins one with `dmtcp_command --kcheckpoint` has each process end when its image is written, without another
 * word: such a guest is saved, not lost.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import type { DmtcpDefinition } from '../definition/definition.js';
import type { DmtcpGroup } from './group.js';
import type { DmtcpImages } from './images.js';
import { disksOf, printedFiles } from './disks.js';
import type { DmtcpPassage } from './passage.js';
import type { Guest, GuestIdentity, RunState, WritableDisk } from '../guest/guest.js';
import type { HypervisorProcess } from '../guest/hypervisor-process.js';
import { NO_CHECKPOINT } from './lines.js';

/** How long a guest may take from our last answer until it runs, DMTCP's own work included. */
const RESUME_BOUND_MS = 120_000;
/** How long a process may take to end whose last descriptors are closed. */
const END_BOUND_MS = 5_000;
/** How long a copy of the process may take to write its image. */
const NEVER = new AbortController().signal;

export interface DmtcpGuestParts {
  readonly name: string;
  readonly definition: DmtcpDefinition;
  readonly process: HypervisorProcess;
  readonly group: DmtcpGroup;
  readonly images: DmtcpImages;
  /** Of DMTCP. */
  readonly version: string;
  /** Where its log and DMTCP's own files are. */
  readonly runDirectory: string;
  /** It was restarted and waits for this to be called. */
  readonly waiting?: () => Promise<void>;
}

export class DmtcpGuest implements Guest {
  readonly name: string;
  readonly ended: Promise<string>;
  readonly #parts: DmtcpGuestParts;
  /** The checkpoint of DMTCP's that it is stopped in. */
  #passage: DmtcpPassage | undefined;
  #waiting: (() => Promise<void>) | undefined;
  #finishing: Promise<number> | undefined;
  /** Its image is being written: that of a process which ends meanwhile may be whole. */
  #saving = false;
  /** It has ended behind its image. */
  #left = false;

  constructor(parts: DmtcpGuestParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.ended = parts.process.ended;
    this.#waiting = parts.waiting;
    parts.group.admit(this);
  }

  get pid(): number | undefined {
    return this.#parts.process.pid;
  }

  get nics(): number {
    return this.#parts.definition.nics.length;
  }

  runState(): Promise<RunState> {
    if (this.pid === undefined) return Promise.resolve('ended');
    const stopped = this.#waiting !== undefined || this.#passage !== undefined;
    return Promise.resolve(stopped ? 'paused' : 'running');
  }

  writableDisks(): Promise<WritableDisk[]> {
    const { runDirectory, definition } = this.#parts;
    const printed = printedFiles(definition.args);
    const isOurs = (path: string): boolean =>
      path === definition.consoleLog || printed.has(path) || path.startsWith(`${runDirectory}/`);
    return Promise.resolve(this.pid === undefined ? [] : disksOf(this.pid, isOurs));
  }

  /** QEMU, its kernel and all are in the image; only DMTCP has to be the same. */
  identity(): Promise<GuestIdentity> {
    const { machine, cpu = 'default', memory } = this.#parts.definition;
    const { version } = this.#parts;
    return Promise.resolve({ kind: 'dmtcp', version, machine, cpu, memory, hashes: {} });
  }

  async stop(signal?: AbortSignal): Promise<boolean> {
    this.#demandAlive();
    if ((await this.runState()) === 'paused') return false;
    this.#passage = await this.#parts.group.stop(this.name, signal);
    return true;
  }

  async resume(): Promise<void> {
    this.#demandAlive();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    await waiting?.();
    const passage = this.#passage;
    this.#passage = undefined;
    try {
      await passage?.resume(RESUME_BOUND_MS);
    } catch (error) {
      this.#passage = passage;
      throw error;
    }
  }

  async prepareSave(file: string, signal?: AbortSignal): Promise<() => void> {
    const { images, group } = this.#parts;
    await images.prepare(file);
    const done = await group.prepare(signal);
    return () => {
      done();
      void (this.#finishing ?? Promise.resolve())
        .catch(() => undefined)
        .then(() => images.rest())
        .catch(() => undefined); // the next preparation turns it anyway
    };
  }

  async save(file: string, signal: AbortSignal, checkpointId = NO_CHECKPOINT): Promise<number> {
    this.#demandAlive();
    if (this.#passage === undefined) throw this.#say('it runs, or waits to be resumed for the first time');
    const { images, definition } = this.#parts;
    await images.aim();
    this.#saving = true;
    try {
      await this.#passage.save(checkpointId, signal, () => images.written());
    } catch (error) {
      if (signal.aborted || !(await this.#hasLeft())) throw error;
      this.#left = true;
    } finally {
      this.#saving = false;
    }
    if (!definition.dmtcp.forked) return images.take(file, signal);
    this.#finishing = images.take(file, NEVER);
    this.#finishing.catch(() => undefined); // told by finishSave
    return 0;
  }

  async #hasLeft(): Promise<boolean> {
    if (!(await this.#parts.images.isWhole())) return false;
    await Promise.race([this.ended, delay(END_BOUND_MS, undefined, { ref: false })]);
    return this.pid === undefined;
  }

  async finishSave(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const finishing = this.#finishing;
    await Promise.race([finishing, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
    signal.throwIfAborted();
    this.#finishing = undefined;
  }

  async kill(): Promise<void> {
    await this.#parts.process.kill();
  }

  watch(onLost: (reason: string) => void): () => void {
    let watching = true;
    void this.ended.then(async (reason) => {
      if (this.#left || (this.#saving && (await this.#parts.images.isWhole()))) return;
      if (watching) onLost(`guest ${this.name}: ${reason}`);
      watching = false;
    });
    return () => void (watching = false);
  }

  #demandAlive(): void {
    if (this.pid === undefined)
      throw new StillwireError('GUEST_DIED', `guest ${this.name} has ended`, { guest: this.name });
  }

  #say(words: string): StillwireError {
    return new StillwireError('GUEST_FAILED', `guest ${this.name}: ${words}`, { guest: this.name });
  }
}
