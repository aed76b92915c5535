/**
 * Whom the switch thread lets wait, and for whom it waits.
 *
 * Goal: a frame is not kept waiting by a program that computes on the same processor, be it the daemon's own main thread
 * at its images and JSON, or a guest under emulation; and a flooded switch keeps nobody from running, neither the
 * receivers of the flood nor the main thread that is to hold it.
 *
 * So it is eager (nice -10, short slices) as long as it takes little: then it gets the processor as soon as it wakes. One
 * that has had most of a processor for a while shares like everybody, until it takes little again.
 *
 * What it takes: CAP_SYS_NICE, or an RLIMIT_NICE of 30 (`LimitNICE=-10`). Without, it shares like everybody at all times,
 * with short slices where the kernel knows them.
 */
import { setScheduling, threadCpuMs } from '../sys/index.js';

const EAGER_NICE = -10;
/** The shortest that the kernel takes. */
const EAGER_SLICE_NS = 100_000;
/** Over which the share is measured: the beginning of a flood is as short as this. */
const MEASURE_MS = 2;
/** Of one processor. A guest's question and its answer, over and over, take less than half. */
const MOST_SHARE = 0.7;

export class Eagerness {
  readonly #set: typeof setScheduling;
  readonly #cpuMs: typeof threadCpuMs;
  #since = Number.NEGATIVE_INFINITY;
  #cpuSince = 0;
  #eager = false;
  readonly #permitted: boolean;

  /** For the calling thread. The parameters are for tests. */
  constructor(set = setScheduling, cpuMs = threadCpuMs) {
    this.#set = set;
    this.#cpuMs = cpuMs;
    this.#permitted = set(EAGER_NICE, EAGER_SLICE_NS);
    if (this.#permitted) this.#eager = true;
    else set(0, EAGER_SLICE_NS);
  }

  /** To be called now and then, at `now` in milliseconds. */
  look(now: number): void {
    const elapsed = now - this.#since;
    if (elapsed < MEASURE_MS || !this.#permitted) return;
    const cpu = this.#cpuMs();
    const eager = cpu - this.#cpuSince < MOST_SHARE * elapsed;
    if (eager !== this.#eager) this.#set(eager ? EAGER_NICE : 0, eager ? EAGER_SLICE_NS : 0);
    this.#eager = eager;
    this.#since = now;
    this.#cpuSince = cpu;
  }
}
