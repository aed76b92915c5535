/**
 * Frames and virtio-net headers through the real switch, over ports without a kernel. Whatever guests send and
 * whatever a checkpoint brought back: nothing throws, the ledger balances, no swallowed marker comes out anywhere, and
 * every frame that comes out is byte for byte one that went in, padded and tagged as the ports demand, so that nothing
 * of the memory around a frame is ever seen.
 */
import * as fc from 'fast-check';
import { ARP_REPLY, encodeArp } from '../../../src/frame/arp.js';
import { cookieMac, cookieStem, ECHO_ANSWER, encodeEcho, stemOf } from '../../../src/frame/cookie.js';
import { encodeSentinel, NONCE_BYTES } from '../../../src/frame/sentinel.js';
import { MAX_FRAME_BYTES, type InflightFrame } from '../../../src/frame/types.js';
import { FrameMemory } from '../../../src/port/batch.js';
import { counterMemory } from '../../../src/switch/counters.js';
import { imbalances } from '../../../src/switch/ledger.js';
import { Switch } from '../../../src/switch/switch.js';
import { FakePort } from '../../pure/fake-port.js';
import { anyFrame, anyVnet } from '../frames.js';
import { target, wrong } from '../target.js';

const PORTS: readonly { readonly id: string; readonly vlan: number; readonly plain?: boolean }[] = [
  { id: 'a', vlan: 0 },
  { id: 'b', vlan: 0 },
  { id: 'five', vlan: 5 },
  { id: 'five2', vlan: 5 },
  { id: 'plain', vlan: 0, plain: true },
];
/** Shared by all cases: memory that is mapped stays. */
const memory = new FrameMemory();
const counters = counterMemory();

interface Sent {
  readonly port: number;
  readonly bytes: Buffer;
  readonly vnet: Buffer;
}
type Step =
  | { do: 'send'; frames: Sent[] }
  | { do: 'hold' | 'release' | 'mark' | 'read' | 'echo' | 'echoTagged' }
  | { do: 'restore'; frames: Sent[] }
  | { do: 'answer'; at: number; as: number; arp: boolean; old: boolean }
  | { do: 'recall'; port: number; stops: boolean }
  | { do: 'room'; port: number; frames: number }
  | { do: 'wait'; ms: number };

const port = fc.nat(PORTS.length - 1);
const frames = fc.array(fc.record({ port, bytes: anyFrame, vnet: anyVnet }), { maxLength: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('send' as const), frames }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('hold', 'release', 'mark', 'read', 'echo', 'echoTagged'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restore' as const), frames }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      at: port,
      as: port,
      arp: fc.boolean(),
      old: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('recall' as const), port, stops: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('room' as const), port, frames: fc.constantFrom(0, 1, 1e9) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 50) }) },
);

/** As the switch carries it: padded, and with the tag of an access port. */
function carried(bytes: Buffer, vlan: number): Buffer {
  const padded = bytes.length < 60 ? Buffer.concat([bytes, Buffer.alloc(60 - bytes.length)]) : bytes;
  if (vlan === 0) return padded;
  const tag = Buffer.from([0x81, 0, 0, vlan]);
  return Buffer.concat([padded.subarray(0, 12), tag, padded.subarray(12)]);
}
const untagged = (bytes: Buffer): Buffer => Buffer.concat([bytes.subarray(0, 12), bytes.subarray(16)]);

class Bench {
  readonly #core = new Switch(counters, () => 0n, undefined, memory);
  readonly #ports: FakePort[];
  /** What may come out: frames as carried. */
  readonly #known = new Set<string>();
  readonly #nonces: Buffer<ArrayBuffer>[] = [];
  /** Ports at which somebody gave the right answer to the cookie of this hold. */
  readonly #answered = new Set<string>();
  #now = 1000;

  constructor() {
    new Float64Array(counters).fill(0);
    memory.bytes.fill(0xee, 0, 8 * 2048);
    this.#core.addSegment('lan', { reservedMulticast: 'forward', ageingSeconds: 300 });
    this.#ports = PORTS.map(({ id, vlan, plain }) => {
      const made = Object.assign(new FakePort(id, memory), { plain: plain === true });
      this.#core.addPort(made, 'lan', vlan);
      return made;
    });
  }

  send(sent: readonly Sent[]): void {
    for (const { port: to, bytes, vnet } of sent) {
      this.#known.add(carried(bytes, PORTS[to]!.vlan).toString('latin1'));
      this.#ports[to]!.inject(bytes, Buffer.from(vnet));
    }
    for (const i of PORTS.keys()) while (this.#core.receive(i, this.#now) > 0);
  }

  apply(one: Step): void {
    const core = this.#core;
    if (one.do === 'send') this.send(one.frames);
    else if (one.do === 'restore') this.restore(one.frames);
    else if (one.do === 'hold') this.hold();
    else if (one.do === 'release' && core.held) core.release(this.#now);
    else if (one.do === 'mark') core.mark(this.#now);
    else if (one.do === 'read') for (const each of this.#ports) each.read();
    else if (one.do === 'echo' || one.do === 'echoTagged') this.echo(one.do === 'echoTagged');
    else if (one.do === 'answer') this.answer(one);
    else if (one.do === 'recall' && core.held) {
      core.recall([{ port: PORTS[one.port]!.id, stops: one.stops }], this.#now);
      this.sift();
    } else if (one.do === 'room') this.#ports[one.port]!.window = one.frames;
    else if (one.do === 'wait')
      for (const end = this.#now + one.ms; this.#now < end; this.#now++) core.serve(this.#now);
    const faults = imbalances(core.ledger());
    if (faults.length > 0) wrong(faults.join('; '));
  }

  hold(): void {
    if (this.#core.held) return;
    const nonce = Buffer.from(
      `${String.fromCharCode(64 + 4 * this.#nonces.length)}nonce`.padEnd(NONCE_BYTES, '~'),
    );
    this.#core.hold();
    this.#answered.clear();
    this.#core.sendSentinels(nonce);
    this.#core.sendCookies(nonce, this.#now);
    this.#nonces.unshift(nonce);
    this.sift();
  }

  /** The switch's own markers are out of the way: one that is in a ring from here on has been let through. */
  sift(): void {
    for (const each of this.#ports) each.ring = each.ring.filter(({ bytes }) => !this.isMarker(bytes));
  }

  echo(tagged: boolean): void {
    const [nonce] = this.#nonces;
    if (nonce === undefined) return;
    const bytes = encodeSentinel(nonce);
    this.#ports[0]!.inject(tagged ? carried(bytes, 7) : bytes);
    while (this.#core.receive(0, this.#now) > 0);
  }

  /** A guest answers the marker, its own or another's, of this hold or one before, as often as it likes. */
  answer({ at, as, arp, old }: Extract<Step, { do: 'answer' }>): void {
    const nonce = this.#nonces[old ? 1 : 0];
    if (nonce === undefined) return;
    const from = 0x020000000001 + at;
    const to = cookieMac(nonce, as);
    this.#ports[at]!.inject(
      arp
        ? encodeArp({ operation: ARP_REPLY, senderMac: from, senderIp: 1, targetMac: to, targetIp: 0 }, to)
        : encodeEcho({ operation: ECHO_ANSWER, nonce, port: as }, from, to),
    );
    while (this.#core.receive(at, this.#now) > 0);
    if (at === as && !old) this.#answered.add(PORTS[at]!.id);
    for (const { port: id, down } of this.#core.evidence()) {
      if (down.cookie === 'answered' && !this.#answered.has(id)) wrong(`a forged answer counts at ${id}`);
    }
  }

  /** What a checkpoint may hold, in the hands of its author. */
  restore(saved: readonly Sent[]): void {
    this.hold();
    const held = saved.flatMap(({ port: from, bytes, vnet }, i): InflightFrame[] => {
      if (bytes.length < 14) return []; // refused by the reader
      this.#known.add(bytes.toString('latin1'));
      const destinations = PORTS.filter(({ plain }, to) => to !== from && plain !== true).map(({ id }) => id);
      return [{ sequence: i, timeNs: 0n, ingress: PORTS[from]!.id, destinations, vnet, bytes }];
    });
    this.#core.restore(held);
  }

  isMarker(bytes: Buffer): boolean {
    const source = bytes.readUIntBE(6, 6);
    return this.#nonces.some((nonce) => bytes.includes(nonce) || stemOf(source) === cookieStem(nonce));
  }

  check(): void {
    for (const each of this.#ports) each.window = 1e9;
    if (this.#core.held) this.#core.release(this.#now);
    for (const end = this.#now + 100; this.#now < end; this.#now++) this.#core.serve(this.#now);
    // What an access port sent is known with its tag; out of an access port it comes without.
    const plain = new Set(
      [...this.#known].map((bytes) => untagged(Buffer.from(bytes, 'latin1')).toString('latin1')),
    );
    for (const [i, each] of this.#ports.entries()) {
      each.read();
      for (const { bytes, vnet } of each.delivered) {
        const form = bytes.toString('latin1');
        const isOurs = this.#known.has(form) || (PORTS[i]!.vlan !== 0 && plain.has(form));
        if (this.isMarker(bytes)) wrong(`${each.id} got a marker`);
        if (PORTS[i]!.plain === true) {
          if (vnet[0]! & 1 || vnet[1] !== 0) wrong('a plain port got a header that asks for something');
          continue; // what it gets was made of a frame: see segment.ts
        }
        if (!isOurs) wrong(`${each.id} got a frame nobody sent: ${bytes.toString('hex', 0, 100)}`);
        if (bytes.length > MAX_FRAME_BYTES) wrong(`${bytes.length} bytes`);
        if (vnet.length !== 10) wrong('a cut-off header');
      }
    }
    const faults = imbalances(this.#core.ledger());
    if (faults.length > 0) wrong(faults.join('; '));
  }
}

export default target(() => ({
  inputs: fc.array(step, { minLength: 1, maxLength: 12 }),
  check(steps) {
    const bench = new Bench();
    for (const one of steps) bench.apply(one);
    bench.check();
  },
}));
