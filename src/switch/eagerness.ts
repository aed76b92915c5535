/**
 * Whom the switch thread lets wait, and for whom it waits.
 *
 * Goal: a frame is not kept waiting by a program that computes on the same processor, be it the daemon's own main thread
 * at its images and JSON, or a guest under emulation; and a flooded switch keeps nobody from running, neither the
 * receivers of the flood nor the main thread that is to hold it.
 *
 * So it is eager (ten nicer to itself, short slices) as long as it takes little: then it gets the processor as soon as it
 * wakes. One that has had most of a processor for a while shares like everybody, until it takes little again.
 *
 * What it takes: CAP_SYS_NICE, or an RLIMIT_NICE that allows it (`LimitNICE=-10`). Without, it shares like everybody at all
 * times, with short slices where the kernel knows them. Who was given another policy than the common one keeps it.
 */
import { fairNice, setScheduling, threadCpuMs } from '../sys/index.js';

/** Nice values go down to -20. */
const EAGER_BY = 10;
const LEAST_NICE = -20;
/** The shortest that the kernel takes. */
const EAGER_SLICE_NS = 100_000;
/** Over which the share is measured: the beginning of a flood is as short as this. */
const MEASURE_MS = 2;
/** Of one processor. A question and its answer between two guests, over and over, take less. */
const MOST_SHARE = 0.8;

/** The calling thread, as far as it concerns us. */
export interface ThreadScheduling {
  readonly nice: () => number | undefined;
  readonly set: (nice: number, sliceNs: number) => boolean;
  readonly cpuMs: () => number;
}

const OWN: ThreadScheduling = { nice: fairNice, set: setScheduling, cpuMs: threadCpuMs };

export class Eagerness {
  readonly #thread: ThreadScheduling;
  /** As it was given to us. */
  readonly #nice: number;
  readonly #permitted: boolean;
  #since = Number.NEGATIVE_INFINITY;
  #cpuSince = 0;
  #eager = false;

  /** @param thread for tests; default: the calling one */
  constructor(thread = OWN) {
    this.#thread = thread;
    const nice = thread.nice();
    this.#nice = nice ?? 0;
    this.#permitted = nice !== undefined && this.#beEager();
    if (nice !== undefined && !this.#permitted) thread.set(nice, EAGER_SLICE_NS);
  }

  #beEager(): boolean {
    this.#eager = this.#thread.set(Math.max(LEAST_NICE, this.#nice - EAGER_BY), EAGER_SLICE_NS);
    return this.#eager;
  }

  /** To be called now and then, at `now` in milliseconds. */
  look(now: number): void {
    const elapsed = now - this.#since;
    if (elapsed < MEASURE_MS || !this.#permitted) return;
    const cpu = this.#thread.cpuMs();
    const little = cpu - this.#cpuSince < MOST_SHARE * elapsed;
    if (little && !this.#eager) this.#beEager();
    else if (!little && this.#eager) this.#eager = !this.#thread.set(this.#nice, 0);
    this.#since = now;
    this.#cpuSince = cpu;
  }
}
