/**
 * The switch against a model of a few lines: for each destination the list of frames it must get. Whatever is done to
 * the switch (full ports, holds, marks, restarts from a mark), at every step what has been sent on a port is a
 * beginning of its list, the in-flight set is exactly the rest, and the ledger balances.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeSentinel, newNonce } from '../../src/frame/sentinel.js';
import type { InflightFrame, PortId } from '../../src/frame/types.js';
import { Bench, type BenchPort } from './bench.js';
import { BROADCAST, frame, numberOf, station, tagOf } from './frames.js';

const PORTS: readonly BenchPort[] = [
  { id: 'a' },
  { id: 'b' },
  { id: 'c' },
  { id: 'five', vlan: 5 },
  { id: 'five2', vlan: 5 },
  { id: 'x', segment: 'other' },
  { id: 'y', segment: 'other' },
];
const STATIONS = 4;

interface Sent {
  readonly source: number;
  /** A station, or the number after the last for broadcast. */
  readonly target: number;
  readonly tag: number | undefined;
}

type Step =
  | { do: 'send'; port: number; frames: Sent[] }
  | { do: 'hold' | 'release' | 'mark' | 'restart' | 'echo' }
  | { do: 'room'; port: number; frames: number }
  | { do: 'wait'; ms: number };

const anyPort = fc.nat(PORTS.length - 1);
const sent: fc.Arbitrary<Sent> = fc.record({
  source: fc.nat(STATIONS - 1),
  target: fc.nat(STATIONS),
  tag: fc.constantFrom(undefined, undefined, 5, 6),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send'),
      port: anyPort,
      frames: fc.array(sent, { maxLength: 8 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('hold', 'release', 'mark', 'restart', 'echo') }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('room'), port: anyPort, frames: fc.constantFrom(0, 1, 3, 1e9) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.constantFrom(0.1, 1, 5) }) },
);

const name = (bytes: Buffer): string => {
  const tag = tagOf(bytes);
  return `${numberOf(bytes)} ${bytes.toString('hex', 0, 12)} ${tag === undefined ? 'untagged' : tag}`;
};
const isOurs = (bytes: Buffer): boolean => bytes.readUInt16BE(12) !== 0x88b5;

class Model {
  bench = new Bench(PORTS);
  readonly expected = new Map<PortId, { number: number; name: string }[]>(PORTS.map(({ id }) => [id, []]));
  /** Frames sent on each port by switches before the last restart. */
  readonly before = new Map<PortId, string[]>(PORTS.map(({ id }) => [id, []]));
  readonly #heardOn = new Map<string, number>();
  readonly #nonce = newNonce();
  #number = 0;

  /** What the switch must do with a frame, by the book. */
  #expect(from: number, { source, target, tag }: Sent, number: number): void {
    const port = PORTS[from]!;
    const { vlan: access = 0, segment = 'lan' } = port;
    if (access !== 0 && tag !== undefined) return;
    const vlan = access !== 0 ? access : (tag ?? 0);
    const key = (n: number): string => `${segment} ${vlan} ${n}`;
    this.#heardOn.set(key(source), from);
    const known = target === STATIONS ? undefined : this.#heardOn.get(key(target));
    for (const [to, other] of PORTS.entries()) {
      const sees = other.vlan === undefined || other.vlan === vlan;
      if (to === from || (other.segment ?? 'lan') !== segment || !sees) continue;
      if (known !== undefined && known !== to) continue;
      const out = other.vlan !== undefined || vlan === 0 ? undefined : vlan;
      const bytes = frame(number, { to: address(target), from: address(source), ...(out && { tag: out }) });
      this.expected.get(other.id)!.push({ number, name: name(bytes) });
    }
  }

  send(from: number, frames: readonly Sent[]): void {
    const built = frames.map((one) => {
      const number = ++this.#number;
      this.#expect(from, one, number);
      const { source, target, tag } = one;
      return frame(number, { to: address(target), from: address(source), ...(tag !== undefined && { tag }) });
    });
    this.bench.send(PORTS[from]!.id, ...built);
  }

  /** A sentinel sent to all while held; one of them comes back. */
  echo(): void {
    if (this.bench.core.held) this.bench.core.sendSentinels(this.#nonce);
    else this.bench.core.recognise([this.#nonce]);
    this.bench.send('b', encodeSentinel(this.#nonce));
  }

  /** Everything is lost but the mark; a new switch takes up from it. */
  restart(): void {
    if (!this.bench.core.held) return;
    const { frames, stations, nonces } = this.bench.core.mark(this.bench.now);
    for (const { id } of PORTS) this.before.set(id, this.sent(id));
    const saved: InflightFrame[] = frames.map(
      ({ frame: { sequence, timeNs, ingress, stored }, destinations }) => {
        return {
          sequence,
          timeNs,
          ingress,
          destinations,
          vnet: stored.subarray(0, 10),
          bytes: stored.subarray(10),
        };
      },
    );
    const { now } = this.bench;
    this.bench = new Bench(PORTS);
    this.bench.now = now;
    this.bench.core.hold();
    this.bench.core.recognise(nonces);
    this.bench.core.learnStations(stations, now);
    this.bench.core.restore(saved);
  }

  sent(id: PortId): string[] {
    const { delivered, ring } = this.bench.port(id);
    const now = [...delivered, ...ring].map(({ bytes }) => bytes).filter(isOurs);
    return [...this.before.get(id)!, ...now.map(name)];
  }

  /** The frames each port has still to get. */
  outstanding(id: PortId): { number: number; name: string }[] {
    return this.expected.get(id)!.slice(this.sent(id).length);
  }

  check(): void {
    for (const { id } of PORTS) {
      const seen = this.sent(id);
      expect(seen, `sent on ${id}`).toEqual(
        this.expected
          .get(id)!
          .slice(0, seen.length)
          .map((one) => one.name),
      );
    }
    this.bench.balances();
  }

  checkMark(): void {
    const destinations = new Map<number, PortId[]>();
    for (const { id } of PORTS) {
      for (const { number } of this.outstanding(id)) {
        destinations.set(number, [...(destinations.get(number) ?? []), id].sort());
      }
    }
    const marked = this.bench.inflight().map((one) => [one.number, one.destinations]);
    expect(marked).toEqual([...destinations].sort(([a], [b]) => a - b));
  }
}

const address = (n: number): Buffer => (n === STATIONS ? BROADCAST : station(n));

function apply(model: Model, one: Step): void {
  const { core } = model.bench;
  switch (one.do) {
    case 'send':
      return model.send(one.port, one.frames);
    case 'hold':
      return core.held ? undefined : core.hold();
    case 'release':
      return core.held ? core.release(model.bench.now) : undefined;
    case 'mark':
      return model.checkMark();
    case 'restart':
      return model.restart();
    case 'echo':
      return model.echo();
    case 'wait':
      return model.bench.run(one.ms);
    case 'room': {
      const port = model.bench.port(PORTS[one.port]!.id);
      port.window = port.ring.length + one.frames;
    }
  }
}

test('every frame to exactly the right ports, in order, through holds, marks and restarts', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      const model = new Model();
      for (const one of steps) {
        const heldBefore = model.bench.core.held;
        const before = PORTS.map(({ id }) => model.sent(id).length);
        apply(model, one);
        model.check();
        if (heldBefore && one.do !== 'release') {
          expect(PORTS.map(({ id }) => model.sent(id).length)).toEqual(before); // nothing passes a hold
        }
      }
      model.checkMark();
      for (const { id } of PORTS) model.bench.port(id).window = Number.POSITIVE_INFINITY;
      if (model.bench.core.held) model.bench.core.release(model.bench.now);
      model.bench.run(100);
      model.check();
      for (const { id } of PORTS) expect(model.outstanding(id), `left for ${id}`).toEqual([]);
      expect(model.bench.core.releaseProgress().drained).toBe(true);
    }),
    { numRuns: 150 },
  );
});
