/** A switch with fake ports, and the questions tests ask of it. */
import { expect } from 'vitest';
import type { PortId } from '../../src/frame/types.js';
import type { PortKind } from '../../src/port/evidence.js';
import { counterMemory } from '../../src/switch/counters.js';
import type { HoldStore } from '../../src/hold-queue/store.js';
import { imbalances } from '../../src/switch/ledger.js';
import { Switch } from '../../src/switch/switch.js';
import { FakePort } from './fake-port.js';
import { numberOf } from './frames.js';

export interface BenchPort {
  readonly id: PortId;
  readonly vlan?: number;
  readonly segment?: string;
  readonly kind?: PortKind;
  /** See {@link FakePort}. */
  readonly plain?: boolean;
  readonly mtu?: number | undefined;
}

export class Bench {
  readonly core: Switch;
  readonly ports = new Map<PortId, FakePort>();
  readonly #numbers = new Map<PortId, number>();
  now = 1000;

  constructor(
    ports: readonly BenchPort[],
    reservedMulticast: 'forward' | 'drop' = 'forward',
    store?: HoldStore,
  ) {
    this.core = new Switch(counterMemory(), () => BigInt(Math.floor(this.now)) * 1_000_000n, store);
    for (const name of new Set(['lan', ...ports.map(({ segment = 'lan' }) => segment)])) {
      this.core.addSegment(name, { reservedMulticast, ageingSeconds: 300 });
    }
    for (const port of ports) this.addPort(port);
  }

  addPort({ id, vlan = 0, segment = 'lan', kind = 'tap', plain = false, mtu }: BenchPort): void {
    const port = Object.assign(new FakePort(id, this.core.memory, kind), { plain, mtu });
    this.ports.set(id, port);
    this.#numbers.set(id, this.core.addPort(port, segment, vlan));
  }

  port(id: PortId): FakePort {
    const port = this.ports.get(id);
    if (port === undefined) throw new Error(`no port ${id}`);
    return port;
  }

  /** The far side of `id` sends frames, and the switch takes them. */
  send(id: PortId, ...frames: Buffer[]): void {
    for (const bytes of frames) this.port(id).inject(bytes);
    while (this.core.receive(this.#numbers.get(id)!, this.now) > 0);
  }

  /** Lets `ms` pass in steps of a tenth, serving queues as the engine does, and `each` after every step. */
  run(ms: number, each: () => void = () => undefined): void {
    const end = this.now + ms;
    for (; this.now < end; this.now += 0.1) {
      this.core.serve(this.now);
      each();
    }
  }

  /** Everything ever sent on a port, by number. */
  sent(id: PortId): number[] {
    const { delivered, ring } = this.port(id);
    return [...delivered, ...ring].map(({ bytes }) => numberOf(bytes));
  }

  balances(): void {
    expect(imbalances(this.core.ledger())).toEqual([]);
  }

  /** Marks, and gives the in-flight frames as a restart would get them. */
  inflight(): { number: number; ingress: PortId; destinations: PortId[]; vnet: Buffer; bytes: Buffer }[] {
    return this.core.mark(this.now).frames.map(({ frame, destinations }) => {
      const bytes = Buffer.from(frame.stored.subarray(10));
      return {
        number: numberOf(bytes),
        ingress: frame.ingress,
        destinations: [...destinations].sort(),
        vnet: Buffer.from(frame.stored.subarray(0, 10)),
        bytes,
      };
    });
  }
}
