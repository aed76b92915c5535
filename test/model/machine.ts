/**
 * A guest and its hypervisor.
 *
 *   TAP ring → the hypervisor's own queue (one entry) → virtio ring → the guest reads
 *   the guest sends → virtio ring → the hypervisor writes → TAP
 *
 * Facts (docs/theory.md, "Where a frame can sit"):
 * - the virtio rings are guest RAM: they are saved with the guest, and what is in them has been received or not yet sent;
 * - an entry that the guest does not take now (stopped, no driver, ring full) waits in the hypervisor's queue, and while
 *   one waits there the TAP is read no further. So of a stopped guest's ring exactly one entry is read;
 * - every stop purges that queue; a save does not contain it;
 * - a stopped hypervisor sends nothing.
 *
 * What is stopped, saved and resumed is asked for as of any guest (guest/guest.ts): the crew of the real checkpoint does.
 */
import { StillwireError } from '../../src/errors/index.js';
import type { Guest, GuestIdentity, RunState } from '../../src/guest/index.js';
import type { Agenda } from './agenda.js';
import type { Tap } from './tap.js';
import {
  asks,
  echoAnswer,
  echoHere,
  encode,
  isFor,
  isLast,
  kindOf,
  unitsOf,
  type DataFrame,
  type Wire,
} from './wire.js';

export interface Traits {
  /** Milliseconds the guest needs for a frame. */
  readonly readMs: number;
  /** Entries its receive ring takes. */
  readonly slots: number;
  /** Whether it sends the sentinels it sees back, as a bridging guest does. */
  readonly bridges: boolean;
  /** Whether its echo agent answers, and whether it says that it is there. */
  readonly answers: boolean;
  readonly known: boolean;
  /** How long its hypervisor may get no processor, milliseconds. */
  readonly starvedMs: number;
}

/** What a save contains. */
export interface Ram {
  /** Segments sent, segments received, in order. Those in the rings are among them. */
  readonly sent: number[];
  readonly got: number[];
  /** Frames in the transmit and the receive ring. */
  readonly tx: Wire[];
  readonly rx: Wire[];
  /** Whether it has a driver for its NIC. */
  taking: boolean;
}

const copyOf = (ram: Ram): Ram => ({
  sent: [...ram.sent],
  got: [...ram.got],
  tx: [...ram.tx],
  rx: [...ram.rx],
  taking: ram.taking,
});

const QMP = { least: 0.05, most: 0.4, seldom: 4 };
const TRANSMIT = { least: 0.01, most: 0.1, seldom: 0.5 };
const SAVE = { least: 0.3, most: 2, seldom: 8 };
const NOTICING = { least: 0.05, most: 0.3, seldom: 2 };

/** Something a hypervisor may do wrong once. */
export type Fault = 'stopFails' | 'stopUnheard' | 'saveFails';

export class Machine implements Guest {
  readonly name: string;
  readonly number: number;
  readonly tap: Tap;
  readonly traits: Traits;
  ram: Ram;
  running: boolean;
  dead = false;
  /** Whether its owner has paused it: it is not ours to run. */
  readonly pausedByOwner: boolean;
  readonly ended: Promise<string>;
  /** Told of a frame that the guest has read and wants answered. */
  onAsked: (wire: Wire) => void = () => undefined;
  fault: Fault | undefined;
  #queued: Wire | undefined;
  #polling = false;
  #working = false;
  #transmitting = false;
  readonly #agenda: Agenda;
  readonly #disk: Map<string, Ram>;
  readonly #watchers = new Set<(reason: string) => void>();

  constructor(parts: {
    number: number;
    tap: Tap;
    traits: Traits;
    agenda: Agenda;
    disk: Map<string, Ram>;
    ram?: Ram;
    paused?: boolean;
  }) {
    this.number = parts.number;
    this.name = `vm${parts.number}`;
    this.tap = parts.tap;
    this.traits = parts.traits;
    this.#agenda = parts.agenda;
    this.#disk = parts.disk;
    this.ram =
      parts.ram === undefined ? { sent: [], got: [], tx: [], rx: [], taking: true } : copyOf(parts.ram);
    this.pausedByOwner = parts.paused ?? false;
    this.running = parts.ram === undefined && !this.pausedByOwner;
    this.ended = new Promise(() => undefined);
    this.tap.onRing = () => this.#poll();
  }

  // The guest.

  send(frame: DataFrame): void {
    const wire = encode(frame);
    this.ram.sent.push(...unitsOf(wire));
    this.#transmitLater(wire);
  }

  /** Its echo agent says that it is there. */
  announce(): void {
    if (this.traits.known) this.#transmitLater(echoHere(this.number));
  }

  #transmitLater(wire: Wire): void {
    this.ram.tx.push(wire);
    this.#transmit();
  }

  /** Entry into the receive ring, unless there is no room. */
  #accept(wire: Wire): boolean {
    if (!this.ram.taking || this.ram.rx.length >= this.traits.slots) return false;
    const kind = kindOf(wire);
    if (kind === 'sentinel') {
      if (this.traits.bridges) this.#read(wire);
    } else if (kind === 'echo' || isFor(wire, this.number)) {
      if (kind === 'data') this.ram.got.push(...unitsOf(wire));
      this.#read(wire);
    }
    return true;
  }

  #read(wire: Wire): void {
    this.ram.rx.push(wire);
    this.#work();
  }

  #work(): void {
    if (this.#working || !this.running || this.ram.rx.length === 0) return;
    this.#working = true;
    this.#agenda.in(this.traits.readMs * (0.5 + this.#agenda.random()), () => {
      this.#working = false;
      if (!this.running) return;
      const wire = this.ram.rx.shift();
      if (wire === undefined) return;
      const kind = kindOf(wire);
      if (kind === 'sentinel') this.#transmitLater(wire);
      else if (kind === 'echo') {
        if (this.traits.answers) this.#transmitLater(echoAnswer(wire, this.number));
      } else if (asks(wire) && isLast(wire)) this.onAsked(wire);
      this.#flush();
      this.#work();
    });
  }

  /** It gets its driver. */
  beginTaking(): void {
    this.ram.taking = true;
    this.#flush();
  }

  // The hypervisor.

  #transmit(): void {
    if (this.#transmitting || this.ram.tx.length === 0) return;
    this.#transmitting = true;
    this.#agenda.in(this.#agenda.delay(TRANSMIT), () => {
      this.#transmitting = false;
      if (!this.running) return;
      for (const wire of this.ram.tx.splice(0)) this.tap.write(wire);
    });
  }

  #poll(): void {
    if (this.#polling || this.dead) return;
    this.#polling = true;
    const delay = { least: 0.005, most: 0.1, seldom: this.traits.starvedMs };
    this.#agenda.in(this.#agenda.delay(delay), () => {
      this.#polling = false;
      this.#readTap();
    });
  }

  #readTap(): void {
    if (this.dead || this.#queued !== undefined) return;
    const wire = this.tap.read();
    if (wire === undefined) return;
    if (this.running && this.#accept(wire)) this.#poll();
    else this.#queued = wire;
  }

  /** Hands on what waits, now that the guest may take it. */
  #flush(): void {
    if (!this.running || this.#queued === undefined) return;
    if (!this.#accept(this.#queued)) return;
    this.#queued = undefined;
    this.#poll();
  }

  /** A stop, also of one that is stopped. */
  halt(): void {
    this.running = false;
    this.#queued = undefined; // purged
    this.#poll();
  }

  cont(): void {
    if (this.dead) return;
    this.running = true;
    this.#flush();
    this.#poll();
    this.#transmit();
    this.#work();
  }

  die(): void {
    if (this.dead) return;
    this.dead = true;
    this.running = false;
    this.#agenda.in(this.#agenda.delay(NOTICING), () => {
      this.#agenda.wake();
      for (const watcher of [...this.#watchers]) watcher('it ended');
    });
  }

  /** Whether nothing waits in it or before it. */
  get atRest(): boolean {
    const { rx, tx } = this.ram;
    return rx.length + tx.length + this.tap.unread === 0 && this.#queued === undefined;
  }

  // Guest.

  get pid(): number | undefined {
    return this.dead ? undefined : 1;
  }

  async #told(delay = QMP): Promise<void> {
    await this.#agenda.sleep(this.#agenda.delay(delay));
    if (this.dead) throw new StillwireError('GUEST_DIED', `guest ${this.name} is gone`);
  }

  /** Whether the fault is this one; it comes only once. */
  #suffers(fault: Fault): boolean {
    if (this.fault !== fault) return false;
    this.fault = undefined;
    return true;
  }

  runState(): Promise<RunState> {
    return Promise.resolve(this.dead ? 'ended' : this.running ? 'running' : 'paused');
  }

  async stop(): Promise<boolean> {
    await this.#told();
    if (this.#suffers('stopFails')) throw new StillwireError('GUEST_FAILED', `${this.name} does not stop`);
    this.#readTap(); // a command has its turn in the loop that polls the TAP, before and after
    const ran = this.running;
    this.halt();
    this.#readTap();
    await this.#told();
    if (this.#suffers('stopUnheard')) throw new StillwireError('GUEST_FAILED', `${this.name} is silent`);
    return ran;
  }

  async resume(): Promise<void> {
    await this.#told();
    this.cont();
    await this.#told();
  }

  async save(file: string, signal: AbortSignal): Promise<number> {
    await this.#told(SAVE);
    signal.throwIfAborted();
    if (this.#suffers('saveFails')) throw new StillwireError('GUEST_FAILED', `${this.name} is not saved`);
    this.#disk.set(file, copyOf(this.ram));
    await this.#told(SAVE);
    return 1;
  }

  /** As the background snapshot does: the state is taken, and the guest goes on by itself. */
  async saveAndGoOn(file: string, goOn: boolean, signal: AbortSignal): Promise<void> {
    await this.#told(SAVE);
    signal.throwIfAborted();
    if (this.#suffers('saveFails')) throw new StillwireError('GUEST_FAILED', `${this.name} is not saved`);
    this.#disk.set(file, copyOf(this.ram));
    if (goOn) this.cont();
    await this.#told();
  }

  async kill(): Promise<void> {
    await this.#agenda.sleep(this.#agenda.delay(QMP));
    this.dead = true;
    this.running = false;
  }

  watch(onLost: (reason: string) => void): () => void {
    this.#watchers.add(onLost);
    return () => this.#watchers.delete(onLost);
  }

  writableDisks(): Promise<never[]> {
    return Promise.resolve([]);
  }

  identity(): Promise<GuestIdentity> {
    return Promise.reject(new Error('not asked for'));
  }

  prepareSave(): Promise<() => void> {
    return Promise.resolve(() => undefined);
  }
}
