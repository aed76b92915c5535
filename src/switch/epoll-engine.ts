/** The engine that runs everywhere: epoll, and one batched receive per ready port and turn. */
import { clearEvent, Epoll } from '../sys/index.js';
import type { Engine, Turned } from './engine.js';
import { Timekeeper } from './timekeeper.js';

const CONTROL = 0x7fffffff;
const ALARM = CONTROL - 1;
const MAX_READY = 64;

export class EpollEngine implements Engine {
  readonly name = 'epoll';
  readonly #epoll = new Epoll();
  readonly #ready = new Int32Array(MAX_READY);
  readonly #switch: Turned;
  readonly #controlFd: number;
  readonly #onControl: (since: number) => void;
  readonly #watched = new Map<number, number>(); // descriptors by port number
  readonly #time = new Timekeeper();
  /** Microseconds. */
  #wait = Infinity;

  /**
   * @param controlFd an eventfd that says commands wait
   * @param onControl executes them; nothing has been sent since the moment it is told
   */
  constructor(core: Turned, controlFd: number, onControl: (since: number) => void) {
    this.#switch = core;
    this.#controlFd = controlFd;
    this.#onControl = onControl;
    this.#epoll.add(controlFd, CONTROL);
    this.#epoll.add(this.#time.fd, ALARM);
    this.#time.wake();
  }

  watch(index: number, fd: number): void {
    this.#epoll.add(fd, index);
    this.#watched.set(index, fd);
  }

  unwatch(fd: number): void {
    for (const [index, watched] of this.#watched) if (watched === fd) this.#forget(index);
  }

  #forget(index: number): void {
    const fd = this.#watched.get(index);
    if (fd !== undefined) this.#epoll.remove(fd);
    this.#watched.delete(index);
  }

  turn(): void {
    const count = this.#epoll.wait(this.#wait === Infinity ? -1 : this.#wait, this.#ready);
    this.#time.pass();
    for (let i = 0; i < count; i++) {
      if (this.#ready[i] === CONTROL)
        this.#control(); // a hold waits for no burst
      else if (this.#ready[i] === ALARM) this.#time.rang();
    }
    // A small integer, not an object, while the machine has been up for less than 24 days. To the millisecond is enough
    // for what has nothing waiting.
    const now = Math.floor(this.#time.now);
    for (let i = 0; i < count; i++) {
      const tag = this.#ready[i]!;
      if (tag < ALARM && this.#switch.receive(tag, now) < 0) this.#forget(tag); // else it would wake us for ever
    }
    this.#wait = this.#time.wake(this.#switch.serve(this.#switch.queued ? this.#time.look() : now));
  }

  #control(): void {
    clearEvent(this.#controlFd);
    this.#onControl(this.#time.look());
    this.#time.pass();
    this.#time.look(); // a release may have been among the commands: its first frames are told to the microsecond
  }

  close(): void {
    this.#epoll.close();
    this.#time.close();
  }
}
