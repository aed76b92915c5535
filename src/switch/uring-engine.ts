/**
 * The engine for kernels that allow io_uring: it waits in the ring through which devices are read and written, so that
 * asking for the next frames costs no call of its own. What is received and sent is done as ever by the ports, in their
 * turn: nothing is read ahead, nothing is being sent between two turns.
 */
import { clearEvent, MAX_TAGS, monotonicMs, type Ring } from '../sys/index.js';
import type { Engine } from './engine.js';
import type { Switch } from './switch.js';

const CONTROL = MAX_TAGS - 1;
const MAX_READY = 64;

export class UringEngine implements Engine {
  readonly name = 'io_uring';
  readonly #ring: Ring;
  readonly #ready = new Int32Array(MAX_READY);
  readonly #switch: Switch;
  readonly #controlFd: number;
  readonly #onControl: () => void;
  readonly #watched = new Map<number, number>(); // descriptors by port number
  #wait = -1;

  /** @param ring outlives the engine; @param controlFd an eventfd that says commands wait; @param onControl executes them */
  constructor(core: Switch, ring: Ring, controlFd: number, onControl: () => void) {
    this.#switch = core;
    this.#ring = ring;
    this.#controlFd = controlFd;
    this.#onControl = onControl;
    ring.watch(controlFd, CONTROL);
  }

  watch(index: number, fd: number): void {
    this.#watched.set(index, fd);
    this.#ring.watch(fd, index);
  }

  unwatch(fd: number): void {
    for (const [index, watched] of this.#watched) {
      if (watched !== fd) continue;
      this.#watched.delete(index);
      this.#ring.unwatch(index);
    }
  }

  turn(): void {
    const count = this.#ring.wait(this.#wait, this.#ready);
    const now = monotonicMs();
    for (let i = 0; i < count; i++) {
      const tag = this.#ready[i]!;
      if (tag === CONTROL) this.#control();
      else this.#serve(tag, now);
    }
    const next = this.#switch.serve(monotonicMs());
    this.#wait = next === undefined ? -1 : Math.ceil(next * 1000);
  }

  #control(): void {
    clearEvent(this.#controlFd);
    this.#ring.watch(this.#controlFd, CONTROL); // before the commands: one of them may end the engine
    this.#onControl();
  }

  #serve(index: number, now: number): void {
    const fd = this.#watched.get(index);
    if (fd === undefined) return; // removed in this very turn
    if (this.#switch.receive(index, now) < 0) this.#watched.delete(index);
    else this.#ring.watch(fd, index);
  }

  /** Lets go of every descriptor; the ports close theirs. */
  close(): void {
    for (const index of this.#watched.keys()) this.#ring.unwatch(index);
    this.#watched.clear();
    this.#ring.unwatch(CONTROL);
  }
}
