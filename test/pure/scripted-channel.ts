/** A Channel that does what it is told and writes down what was asked of it. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Channel, Observation, Recall } from '../../src/quiesce/index.js';

export const observation = (
  over: {
    port?: string;
    kind?: Observation['kind'];
    kernelProof?: boolean;
    down?: Partial<Observation['down']>;
    up?: Partial<Observation['up']>;
  } = {},
): Observation => ({
  port: over.port ?? 'vm/nic0',
  kind: over.kind ?? 'tap',
  kernelProof: over.kernelProof ?? true,
  down: {
    sentinelSent: true,
    ringEmpty: true,
    sendQueueBytes: 0,
    droppedSinceHold: 0,
    cookie: 'unasked',
    recalled: 0,
    ...over.down,
  },
  up: {
    deviceFrames: 5,
    receivedFrames: 5,
    socketDrops: 0,
    queueEmpty: true,
    mayHaveOverrun: false,
    ...over.up,
  },
});

export class ScriptedChannel implements Channel<string> {
  readonly calls: string[] = [];
  /** Steps that fail, by name. */
  readonly failing = new Map<string, Error>();
  /** What is seen at the n-th observation, from 0. */
  observes: (n: number) => Observation[] = () => [observation()];
  readonly observedAt: number[] = [];

  #do(step: string, epoch?: number): void {
    this.calls.push(step);
    if (epoch !== undefined && epoch !== 7) throw new Error(`${step} with epoch ${epoch}`);
    const failure = this.failing.get(step);
    if (failure !== undefined) throw failure;
  }

  async hold(): Promise<{ epoch: number; at: number }> {
    this.#do('hold');
    await Promise.resolve();
    return { epoch: 7, at: 100 };
  }

  async sentinels(epoch: number): Promise<void> {
    this.#do('sentinels', epoch);
    await Promise.resolve();
  }

  async cookies(epoch: number, ports?: readonly string[]): Promise<void> {
    this.#do(ports === undefined ? 'cookies' : `cookies ${ports.join()}`, epoch);
    await Promise.resolve();
  }

  async recall(epoch: number, ports: readonly Recall[]): Promise<void> {
    const asked = ports.map(({ port, stops }) => (stops ? port : `${port} as it is`));
    this.#do(`recall ${asked.join()}`, epoch);
    await Promise.resolve();
  }

  async sweep(epoch: number): Promise<void> {
    this.#do('sweep', epoch);
    await Promise.resolve();
  }

  async observe(epoch: number): Promise<Observation[]> {
    this.observedAt.push(performance.now());
    await nextTurn(); // as an answer from another thread would take
    this.#do('observe', epoch);
    return this.observes(this.observedAt.length - 1);
  }

  async mark(epoch: number): Promise<string> {
    this.#do('mark', epoch);
    await Promise.resolve();
    return 'the mark';
  }

  async release(epoch: number): Promise<{ at: number }> {
    this.#do('release', epoch);
    await Promise.resolve();
    return { at: 200 };
  }

  /** The calls without observations, of which there may be any number. */
  get order(): string[] {
    return this.calls.filter((call) => call !== 'observe');
  }
}
