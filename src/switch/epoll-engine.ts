/** The engine that runs everywhere: epoll, and one batched receive per ready port and turn. */
import { clearEvent, Epoll, monotonicMs } from '../sys/index.js';
import type { Engine, Turned } from './engine.js';

const CONTROL = 0x7fffffff;
const MAX_READY = 64;

export class EpollEngine implements Engine {
  readonly name = 'epoll';
  readonly #epoll = new Epoll();
  readonly #ready = new Int32Array(MAX_READY);
  readonly #switch: Turned;
  readonly #controlFd: number;
  readonly #onControl: (since: number) => void;
  readonly #watched = new Map<number, number>(); // descriptors by port number
  #wait = -1;

  /**
   * @param controlFd an eventfd that says commands wait
   * @param onControl executes them; nothing has been sent since the moment it is told
   */
  constructor(core: Turned, controlFd: number, onControl: (since: number) => void) {
    this.#switch = core;
    this.#controlFd = controlFd;
    this.#onControl = onControl;
    this.#epoll.add(controlFd, CONTROL);
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
    const count = this.#epoll.wait(this.#wait, this.#ready);
    // A small integer, not an object, while the machine has been up for less than 24 days. To the millisecond is enough
    // for what has nothing waiting.
    const now = Math.floor(monotonicMs());
    let exact = this.#wait >= 0;
    for (let i = 0; i < count; i++) {
      if (this.#ready[i] !== CONTROL) continue;
      exact = true;
      const since = monotonicMs();
      clearEvent(this.#controlFd);
      this.#onControl(since); // a hold waits for no burst
    }
    for (let i = 0; i < count; i++) {
      const tag = this.#ready[i]!;
      if (tag !== CONTROL && this.#switch.receive(tag, now) < 0) this.#forget(tag); // else it would wake us for ever
    }
    const next = this.#switch.serve(exact ? monotonicMs() : now);
    this.#wait = next === undefined ? -1 : Math.ceil(next * 1000);
  }

  close(): void {
    this.#epoll.close();
  }
}
