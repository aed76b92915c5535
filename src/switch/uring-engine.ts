/**
 * The engine for kernels that allow io_uring: it waits in the ring through which devices are read and written, so that
 * asking to be woken costs no call of its own. What is received and sent is done as ever by the ports, in their turn:
 * nothing is read ahead, nothing is still being sent between two turns.
 *
 * A port is either waited for or visited: one that has just brought all it was asked for is visited again in the next
 * turn, a busy one (pressure.ts) after a while, whatever comes first of that and anything else. All others wake us.
 */
import { clearEvent, MAX_TAGS, monotonicMs, type Ring } from '../sys/index.js';
import { MAX_PORTS } from './counters.js';
import type { Engine, Turned } from './engine.js';
import { Pressure, VISIT_US } from './pressure.js';

const CONTROL = MAX_TAGS - 1;
const MAX_READY = 64;
const NONE = -1;

export class UringEngine implements Engine {
  readonly name = 'io_uring';
  readonly #ring: Ring;
  readonly #ready = new Int32Array(MAX_READY);
  readonly #switch: Turned;
  readonly #controlFd: number;
  readonly #onControl: (since: number) => void;
  /** Descriptors by port number, NONE where there is no port. */
  readonly #watched = new Int32Array(MAX_PORTS).fill(NONE);
  readonly #pressure = new Pressure(MAX_PORTS);
  /** Numbers of the ports that are visited, and not waited for. */
  readonly #visited: number[] = [];
  /** Microseconds. */
  #wait = Infinity;
  /** Frames waited in some queue after the last turn. */
  #queued = false;

  /**
   * @param ring outlives the engine
   * @param controlFd an eventfd that says commands wait
   * @param onControl executes them; nothing has been sent since the moment it is told
   */
  constructor(core: Turned, ring: Ring, controlFd: number, onControl: (since: number) => void) {
    this.#switch = core;
    this.#ring = ring;
    this.#controlFd = controlFd;
    this.#onControl = onControl;
    ring.watch(controlFd, CONTROL);
  }

  watch(index: number, fd: number): void {
    this.#watched[index] = fd;
    this.#ring.watch(fd, index);
  }

  unwatch(fd: number): void {
    const index = this.#watched.indexOf(fd);
    if (index < 0) return;
    this.#watched[index] = NONE;
    this.#ring.unwatch(index);
  }

  turn(): void {
    const count = this.#ring.wait(this.#wait === Infinity ? -1 : this.#wait, this.#ready);
    for (let i = 0; i < count; i++) if (this.#ready[i] === CONTROL) this.#control(); // a hold waits for no burst
    const now = monotonicMs();
    this.#wait = Infinity;
    for (let i = this.#visited.length - 1; i >= 0; i--) {
      if (!this.#receive(this.#visited[i]!, now)) this.#visited.splice(i, 1);
    }
    for (let i = 0; i < count; i++) {
      const tag = this.#ready[i]!;
      if (tag !== CONTROL && this.#receive(tag, now)) this.#visited.push(tag);
    }
    // Where nothing waited before, the time of this turn's beginning will do: a look at the clock is a call.
    const next = this.#switch.serve(this.#queued ? monotonicMs() : now);
    this.#queued = next !== undefined;
    if (next !== undefined) this.#wait = Math.min(this.#wait, Math.ceil(next * 1000));
  }

  #control(): void {
    const since = monotonicMs();
    this.#queued = true; // a release may be among the commands: its first frames are told to the microsecond
    clearEvent(this.#controlFd);
    this.#ring.watch(this.#controlFd, CONTROL); // before the commands: one of them may end the engine
    this.#onControl(since);
  }

  /** Gives a port its turn and sees to it that there is another; whether it is to be visited for that. */
  #receive(index: number, now: number): boolean {
    const fd = this.#watched[index]!;
    if (fd === NONE) return false; // removed since
    const frames = this.#switch.receive(index, now);
    if (frames < 0) {
      this.#watched[index] = NONE; // its device is gone
      return false;
    }
    const busy = this.#pressure.note(index, frames, now) && !this.#switch.isHasty(index);
    if (this.#switch.more && frames > 0) this.#wait = 0;
    else if (busy) this.#wait = Math.min(this.#wait, VISIT_US);
    else {
      this.#ring.watch(fd, index);
      return false;
    }
    return true;
  }

  /** Lets go of every descriptor; the ports close theirs. */
  close(): void {
    this.#watched.forEach((fd, index) => {
      if (fd !== NONE) this.#ring.unwatch(index);
    });
    this.#watched.fill(NONE);
    this.#ring.unwatch(CONTROL);
  }
}
