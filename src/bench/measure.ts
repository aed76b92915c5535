/** One measurement of one carrier: a bulk stream, exchanges, or a flood. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Carrier } from './carrier.js';
import { cpuNs, softirqThreads } from './cpu-time.js';
import type { Ground } from './ground.js';
import { place, type Placement } from './placement.js';

/** Slow start, and the growth of the socket buffers. */
const BULK_WARM_MS = 300;
/** Until rings are full and processors have their speed. */
const FLOOD_WARM_MS = 200;
/** What still lies in rings and sockets is to be gone before the next measurement. */
const SETTLE_MS = 50;

export interface Exchanges {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly count: number;
  readonly lost: number;
}

export interface Flood {
  /** Frames of 64 bytes that reached the receiver's device, a second. */
  readonly framesPerSecond: number;
  /** Of the carrier's processes; 0 when the kernel carries. */
  readonly cpuNsPerFrame: number;
}

export class Measure {
  readonly #ground: Ground;
  readonly #placement: Placement;
  readonly #ms: number;

  /** @param ms how long each lasts */
  constructor(ground: Ground, placement: Placement, ms: number) {
    this.#ground = ground;
    this.#placement = placement;
    this.#ms = ms;
  }

  async #prepare(carrier: Carrier): Promise<void> {
    await place(this.#ground, carrier, this.#placement);
    await this.#wait(SETTLE_MS);
  }

  #wait(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#ground.signal });
  }

  /** Bits a second of one TCP stream, as acknowledged. */
  async bulk(carrier: Carrier): Promise<number> {
    await this.#prepare(carrier);
    const { ends } = carrier;
    const words = ['tcp', ends.hosts[0]!, String(BULK_WARM_MS), String(this.#ms)];
    const told = await ends.traffic(this.#placement.sender, ...words);
    return (JSON.parse(told) as { bitsPerSecond: number }).bitsPerSecond;
  }

  async exchanges(carrier: Carrier): Promise<Exchanges> {
    await this.#prepare(carrier);
    const { ends } = carrier;
    const told = await ends.traffic(this.#placement.sender, 'rr', ends.hosts[0]!, String(this.#ms));
    return JSON.parse(told) as Exchanges;
  }

  async flood(carrier: Carrier): Promise<Flood> {
    return this.flooded(carrier, async () => {
      const pids = [...carrier.processes, ...softirqThreads(this.#placement.carrier)];
      const look = (): { frames: number; cpu: number; at: number } => ({
        frames: carrier.ends.delivered(),
        cpu: cpuNs(pids),
        at: performance.now(),
      });
      const before = look();
      await this.#wait(this.#ms);
      const after = look();
      const frames = after.frames - before.frames;
      return {
        framesPerSecond: (frames * 1000) / (after.at - before.at),
        cpuNsPerFrame: carrier.processes.length === 0 ? 0 : (after.cpu - before.cpu) / frames,
      };
    });
  }

  /** Does `work` while a flood flows; it is told the sender's process. */
  async flooded<T>(carrier: Carrier, work: (sender: number) => Promise<T>): Promise<T> {
    await this.#prepare(carrier);
    const { ends } = carrier;
    const flood = await ends.flood(this.#placement.sender);
    try {
      await ends.flowing(flood);
      await this.#wait(FLOOD_WARM_MS);
      return await work(flood.pid);
    } finally {
      await flood.end();
    }
  }
}
