/** Whom cookies go to, and which answers count: the address table, and the switch with fake ports. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ARP_REPLY, ARP_REQUEST, encodeArp, parseArp, type Arp } from '../../src/frame/arp.js';
import {
  cookieMac,
  ECHO_ANSWER,
  ECHO_HERE,
  ECHO_REQUEST,
  encodeEcho,
  parseEcho,
} from '../../src/frame/cookie.js';
import { newNonce } from '../../src/frame/sentinel.js';
import { AddressTable, PER_PORT } from '../../src/switch/addresses.js';
import { Bench, type BenchPort } from './bench.js';
import { frame, station } from './frames.js';

const BROADCAST = 0xffff_ffff_ffff;
const ip = (last: number): number => 0x0a01_0000 + last;
const mac = (n: number): number => station(n).readUIntBE(0, 6);

describe('address table', () => {
  const says = (over: Partial<Arp>): Arp => ({
    operation: ARP_REQUEST,
    senderMac: 1,
    senderIp: ip(1),
    targetMac: 0,
    targetIp: ip(9),
    ...over,
  });
  const learned = (...packets: Partial<Arp>[]): (string | undefined)[] => {
    const table = new AddressTable();
    for (const packet of packets) table.learn(0, 0, 1, says(packet));
    return table.answerers(0).map((answerer) => answerer.ip);
  };

  test.each<[string, Partial<Arp>, string | undefined]>([
    ['a request', {}, '10.1.0.1'],
    ['a reply', { operation: ARP_REPLY }, '10.1.0.1'],
    ['an announcement', { targetIp: ip(1) }, '10.1.0.1'],
    ['speaking for another MAC', { senderMac: 2 }, undefined],
    ['a probe', { senderIp: 0 }, undefined],
    ['reverse ARP', { operation: 3 }, undefined],
    ['loopback', { senderIp: 0x7f00_0001 }, undefined],
    ['this network', { senderIp: 5 }, undefined],
    ['multicast', { senderIp: 0xe000_0001 }, undefined],
    ['broadcast', { senderIp: 0xffff_ffff }, undefined],
  ])('%s', (_name, packet, expected) => {
    expect(learned(packet)).toEqual(expected === undefined ? [] : [expected]);
  });

  test('an address that is being checked is forgotten until it is used', () => {
    const probe = { senderIp: 0, targetIp: ip(1) };
    expect(learned({}, probe)).toEqual([]);
    expect(learned({}, { ...probe, senderMac: 7 })).toEqual([]); // be it checked by a machine behind a bridge
    expect(learned({}, probe, { targetIp: ip(1) })).toEqual(['10.1.0.1']);
    expect(learned({}, { senderIp: 0, targetIp: ip(2) })).toEqual(['10.1.0.1']);
  });

  test('one port checking an address does not make it unknown on another, nor in another VLAN', () => {
    const table = new AddressTable();
    table.learn(0, 0, 1, says({}));
    table.learn(0, 7, 1, says({}));
    table.learn(1, 0, 1, says({ senderIp: 0, targetIp: ip(1) }));
    table.learn(0, 8, 1, says({ senderIp: 0, targetIp: ip(1) }));
    expect(table.of(0)).toHaveLength(2);
    table.learn(0, 7, 1, says({ senderIp: 0, targetIp: ip(1) }));
    expect(table.of(0)).toEqual([{ vlan: 0, ip: ip(1) }]);
  });

  test('a port has its most recent, once each, however many its guest names; as the model says', () => {
    const checks = fc.constantFrom(true, false, false, false, false, false);
    const packet = fc.tuple(fc.nat(2), fc.constantFrom(0, 7), fc.nat(12), checks);
    fc.assert(
      fc.property(fc.array(packet, { minLength: 40, maxLength: 120 }), (packets) => {
        const table = new AddressTable();
        const model = new Map<number, string[]>();
        for (const [port, vlan, last, checks] of packets) {
          const name = `${vlan} ${ip(last + 1)}`;
          const rest = (model.get(port) ?? []).filter((known) => known !== name);
          model.set(port, checks ? rest : [name, ...rest].slice(0, PER_PORT));
          const address = checks ? { senderIp: 0, targetIp: ip(last + 1) } : { senderIp: ip(last + 1) };
          table.learn(port, vlan, 1, says(address));
        }
        for (const port of [0, 1, 2]) {
          expect(table.of(port).map((known) => `${known.vlan} ${known.ip}`)).toEqual(model.get(port) ?? []);
        }
        const again = new AddressTable();
        for (const answerer of table.answerers(0)) again.restore(answerer, 0);
        expect(again.answerers(0)).toEqual(table.answerers(0));
        for (const port of [0, 1, 2]) expect(again.of(port)).toEqual(table.of(port));
      }),
      { seed: 3_000_002 },
    );
  });

  test('agents are remembered, restored and forgotten with their port', () => {
    const table = new AddressTable();
    table.noteAgent(3, 0);
    table.noteAgent(3, 0);
    expect(table.answerers(0)).toEqual([{ port: 3, vlan: 0 }]);
    const again = new AddressTable();
    for (const answerer of table.answerers(0)) again.restore(answerer, 0);
    expect([again.hasAgent(3, 0), again.hasAgent(2, 0)]).toEqual([true, false]);
    expect([again.hasAgent(3, 59_000), again.hasAgent(3, 61_000)]).toEqual([true, false]); // it has ended
    expect(again.answerers(61_000)).toEqual([]);
    again.forgetPort(3);
    expect(again.answerers(0)).toEqual([]);
  });
});

/** Guests a, b, c with addresses 10.1.0.1, .2, .3, whom the switch has heard. */
class Cookies extends Bench {
  readonly #last = new Map<string, number>();

  constructor(ports: readonly BenchPort[] = [{ id: 'a' }, { id: 'b' }, { id: 'c' }]) {
    super(ports);
    for (const [i, { id }] of ports.entries()) {
      this.#last.set(id, i + 1);
      this.announce(id);
    }
    for (const { id } of ports) this.port(id).read();
  }

  announce(id: string, tag = 0): void {
    const last = this.#last.get(id)!;
    const own = { senderMac: mac(last), senderIp: ip(last), targetMac: 0, targetIp: ip(last) };
    this.send(id, encodeArp({ operation: ARP_REQUEST, ...own }, BROADCAST, tag));
  }

  /** Sends the cookie of a new hold. */
  ask(ports?: readonly string[]): Buffer {
    const nonce = newNonce();
    this.core.hold();
    this.core.sendCookies(nonce, this.now, ports);
    return nonce;
  }

  states(): string[] {
    return this.core.evidence().map(({ down }) => down.cookie);
  }

  /** The frames of the cookie that came to a port, as the far side reads them. */
  read(id: string): { echoes: Buffer[]; probes: Buffer[] } {
    const frames = this.port(id)
      .read()
      .map(({ bytes }) => bytes);
    return {
      echoes: frames.filter((bytes) => bytes.readUInt16BE(12) === 0x88b5),
      probes: frames.filter((bytes) => bytes.readUInt16BE(12) !== 0x88b5),
    };
  }
}

/** What a stack answers to a probe: RFC 826's reply. */
function replyTo(probe: Buffer, from: number): Buffer {
  const tagged = probe.readUInt16BE(12) === 0x8100;
  const { senderMac, targetIp } = parseArp(probe, tagged ? 18 : 14, probe.length)!;
  const reply = {
    operation: ARP_REPLY,
    senderMac: from,
    senderIp: targetIp,
    targetMac: senderMac,
    targetIp: 0,
  };
  return encodeArp(reply, senderMac, tagged ? probe.readUInt16BE(14) : 0);
}

/** What an agent answers. */
function echoTo(request: Buffer, from: number): Buffer {
  const echo = parseEcho(request, 14, request.length)!;
  return encodeEcho({ ...echo, operation: ECHO_ANSWER }, from, request.readUIntBE(6, 6));
}

describe('cookies', () => {
  test('one to every port: an echo request, then a probe of each address; behind what was sent', () => {
    const bench = new Cookies();
    bench.send('b', frame(1));
    const nonce = bench.ask();
    const sent = bench
      .port('a')
      .read()
      .map(({ bytes }) => bytes);
    expect(sent).toHaveLength(3);
    expect(sent[0]!.readUInt16BE(12)).toBe(0x88b6);
    expect(parseEcho(sent[1]!, 14, 60)).toEqual({ operation: ECHO_REQUEST, nonce, port: 0 });
    expect(parseArp(sent[2]!, 14, 60)).toEqual({
      operation: ARP_REQUEST,
      senderMac: cookieMac(nonce, 0),
      senderIp: 0,
      targetMac: 0,
      targetIp: ip(1),
    });
    expect(bench.states()).toEqual(['asked', 'asked', 'asked']);
    expect(bench.core.ledger().map(({ egress }) => egress.cookies)).toEqual([2, 2, 2]);
    bench.balances();
  });

  test('the first answer to either is enough; it goes nowhere and teaches nothing', () => {
    const bench = new Cookies();
    bench.ask();
    const stations = bench.core.stations(bench.now);
    bench.send('a', replyTo(bench.read('a').probes[0]!, mac(77)));
    expect(bench.states()).toEqual(['answered', 'asked', 'asked']);
    bench.send('b', echoTo(bench.read('b').echoes[0]!, mac(78)));
    expect(bench.states()).toEqual(['answered', 'answered', 'asked']);
    expect(bench.core.stations(bench.now)).toEqual(stations);
    expect(bench.inflight()).toEqual([]);
    expect(bench.core.ledger().map(({ ingress }) => ingress.discarded.swallowed)).toEqual([1, 1, 0]);
    bench.balances();
  });

  test('an answer at another port does not count, neither for that one nor for the asked one', () => {
    const bench = new Cookies();
    bench.ask();
    const { echoes, probes } = bench.read('a');
    bench.send('b', replyTo(probes[0]!, mac(1)), echoTo(echoes[0]!, mac(1)));
    expect(bench.states()).toEqual(['asked', 'asked', 'asked']);
    expect(bench.inflight()).toEqual([]);
    expect(bench.core.mark(bench.now).addresses).toHaveLength(3); // nor is there an agent at that port
  });

  test('a request to the address that asked is no answer, and goes no further', () => {
    const bench = new Cookies();
    const targetMac = cookieMac(bench.ask(), 0);
    const request = { operation: ARP_REQUEST, senderMac: mac(1), senderIp: ip(1), targetMac, targetIp: 0 };
    bench.send('a', encodeArp(request, targetMac));
    expect(bench.states()).toEqual(['asked', 'asked', 'asked']);
    expect(bench.inflight()).toEqual([]);
  });

  test('an answer of an earlier hold does not count for a later one, and is swallowed', () => {
    const bench = new Cookies();
    bench.ask();
    const { echoes, probes } = bench.read('a');
    bench.core.release(bench.now);
    bench.ask();
    bench.send('a', replyTo(probes[0]!, mac(1)), echoTo(echoes[0]!, mac(1)));
    expect(bench.states()).toEqual(['asked', 'asked', 'asked']);
    bench.core.release(bench.now);
    bench.send('a', replyTo(probes[0]!, mac(1)), echoTo(echoes[0]!, mac(1)));
    for (const id of ['b', 'c'])
      expect(bench.read(id)).toMatchObject({ echoes: { length: 2 }, probes: { length: 2 } });
    expect(bench.core.ledger()[0]!.ingress.discarded.swallowed).toBe(4);
    bench.core.hold();
    expect(bench.states()).toEqual(['unasked', 'unasked', 'unasked']);
    bench.balances();
  });

  test('only ports that were asked can answer', () => {
    const bench = new Cookies();
    const nonce = bench.ask(['a']);
    expect(bench.read('b')).toEqual({ echoes: [], probes: [] });
    const forged = { operation: ARP_REPLY, senderMac: mac(2), senderIp: ip(2), targetIp: 0 };
    bench.send('b', encodeArp({ ...forged, targetMac: cookieMac(nonce, 1) }, cookieMac(nonce, 1)));
    expect(bench.states()).toEqual(['asked', 'unasked', 'unasked']);
  });

  test('a made-up nonce is a frame like any other', () => {
    const bench = new Cookies();
    const forged = newNonce();
    bench.ask();
    const reply = { operation: ARP_REPLY, senderMac: mac(1), senderIp: ip(1), targetIp: 0 };
    bench.send('a', encodeArp({ ...reply, targetMac: cookieMac(forged, 0) }, cookieMac(forged, 0)));
    bench.send('a', encodeEcho({ operation: ECHO_ANSWER, nonce: forged, port: 0 }, mac(1), BROADCAST));
    expect(bench.states()).toEqual(['asked', 'asked', 'asked']);
    expect(bench.inflight()).toHaveLength(2);
  });

  test('our own marker, coming back through a guest that bridges, is no answer and goes no further', () => {
    const bench = new Cookies();
    bench.ask();
    const { echoes, probes } = bench.read('a');
    bench.send('a', ...echoes, ...probes);
    bench.send('b', ...echoes, ...probes);
    expect(bench.states()).toEqual(['asked', 'asked', 'asked']);
    expect(bench.inflight()).toEqual([]);
    expect(bench.core.stations(bench.now)).toHaveLength(3);
  });

  test('the last 64 nonces are known, a restored switch knows them and who answers', () => {
    const bench = new Cookies();
    const seen: Buffer[] = [];
    for (let i = 0; i < 70; i++) {
      bench.ask(['a']);
      seen.push(bench.read('a').probes[0]!);
      bench.core.release(bench.now);
    }
    const { cookies, addresses } = bench.core.mark(bench.now);
    expect(cookies).toHaveLength(64);
    expect(addresses).toEqual([
      { port: 'a', vlan: 0, ip: '10.1.0.1' },
      { port: 'b', vlan: 0, ip: '10.1.0.2' },
      { port: 'c', vlan: 0, ip: '10.1.0.3' },
    ]);
    const restored = new Bench([{ id: 'b' }, { id: 'a' }]); // in another order
    restored.core.recogniseCookies(cookies, addresses, 1000);
    restored.send('a', replyTo(seen[69]!, mac(1)), replyTo(seen[6]!, mac(1)), replyTo(seen[5]!, mac(1)));
    expect(restored.core.ledger()[1]!.ingress).toMatchObject({ switched: 1, discarded: { swallowed: 2 } });
    restored.core.hold();
    restored.core.sendCookies(newNonce(), 1000);
    expect(restored.core.evidence().map(({ down }) => down.cookie)).toEqual(['asked', 'asked']);
    restored.balances();
  });

  test('a guest that checks its address is not asked for it', () => {
    const bench = new Cookies();
    const check = { operation: ARP_REQUEST, senderMac: mac(1), senderIp: 0, targetMac: 0, targetIp: ip(1) };
    bench.send('a', encodeArp(check, BROADCAST));
    expect(bench.read('b').probes).toHaveLength(1); // its probe reaches the others all the same
    bench.ask();
    expect(bench.read('a')).toEqual({ echoes: [expect.anything()], probes: [] });
    expect(bench.states()).toEqual(['unasked', 'asked', 'asked']);
    bench.core.release(bench.now);
    bench.announce('a');
    bench.ask();
    expect(bench.read('a').probes).toHaveLength(1);
  });

  test('an agent nobody knew answers: it counts, and next time it is waited for', () => {
    const bench = new Cookies();
    bench.core.removePort('a');
    const mute = new Bench([{ id: 'a' }]);
    mute.core.hold();
    mute.core.sendCookies(newNonce(), 1000);
    const state = (): string => mute.core.evidence()[0]!.down.cookie;
    expect(state()).toBe('unasked');
    mute.send('a', echoTo(mute.port('a').read()[0]!.bytes, mac(1)));
    expect(state()).toBe('answered');
    mute.core.hold();
    mute.core.sendCookies(newNonce(), 1000);
    expect(state()).toBe('asked');
    expect(mute.core.mark(1000).addresses).toEqual([{ port: 'a', vlan: 0 }]);
  });

  test('an agent that says it is there is waited for; nobody else hears it', () => {
    const bench = new Bench([{ id: 'a' }, { id: 'b' }]);
    bench.send(
      'a',
      encodeEcho({ operation: ECHO_HERE, nonce: Buffer.alloc(16), port: 0 }, mac(1), BROADCAST),
    );
    expect(bench.sent('b')).toEqual([]);
    bench.core.hold();
    bench.core.sendCookies(newNonce(), 1000);
    expect(bench.core.evidence().map(({ down }) => down.cookie)).toEqual(['asked', 'unasked']);
    bench.balances();
  });

  test('a trunk is asked under the tag the address was learned with; an access port without one', () => {
    const bench = new Cookies([{ id: 'trunk' }, { id: 'five', vlan: 5 }]);
    bench.announce('trunk', 5);
    bench.port('five').read();
    bench.ask();
    const { probes } = bench.read('trunk');
    expect(probes.map((bytes) => bytes.readUInt16BE(12))).toEqual([0x8100, 0x0806]); // the most recent first
    expect(probes[0]!.readUInt16BE(14)).toBe(5);
    const [onAccess] = bench.read('five').probes;
    expect(onAccess!.readUInt16BE(12)).toBe(0x0806);
    bench.send('trunk', replyTo(probes[0]!, mac(1)));
    bench.send('five', replyTo(onAccess!, mac(2)));
    expect(bench.states()).toEqual(['answered', 'answered']);
    bench.balances();
  });

  test('devices and external ports are not asked: nothing lies on the way to them', () => {
    const bench = new Cookies([{ id: 'a' }, { id: 'box', kind: 'device' }, { id: 'out', kind: 'external' }]);
    bench.ask();
    expect(bench.states()).toEqual(['asked', 'unasked', 'unasked']);
    for (const id of ['box', 'out']) expect(bench.port(id).read()).toEqual([]);
  });

  test('what a port has no room for follows, until the guests are stopped', () => {
    const bench = new Cookies([{ id: 'a' }, { id: 'b' }]);
    const port = bench.port('a');
    port.sentinelRoom = 1;
    bench.ask();
    expect(bench.read('a')).toMatchObject({ echoes: [expect.anything()], probes: [] });
    bench.core.evidence();
    expect(bench.read('a').probes).toEqual([]);
    port.sentinelRoom = 1;
    bench.core.evidence();
    expect(bench.read('a').probes).toHaveLength(1);
    port.sentinelRoom = 0;
    bench.core.release(bench.now);
    bench.ask();
    bench.core.sweep(bench.now);
    port.sentinelRoom = 9;
    bench.core.evidence();
    expect(port.read()).toEqual([]);
    expect(bench.states()[0]).toBe('asked');
    bench.balances();
  });

  test('whatever a guest sends, only what it was asked can count', () => {
    const bench = new Cookies();
    const nonce = bench.ask(['b']);
    const { echoes, probes } = bench.read('b');
    fc.assert(
      fc.property(
        fc.constantFrom(...echoes, ...probes, replyTo(probes[0]!, mac(2)), echoTo(echoes[0]!, mac(2))),
        fc.array(fc.tuple(fc.nat(59), fc.nat(255)), { minLength: 0, maxLength: 3 }),
        (good, changes) => {
          const bytes = Buffer.from(good);
          for (const [at, value] of changes) bytes[at] = value;
          bench.send('a', bytes);
          bench.send('c', bytes);
        },
      ),
      { seed: 3_000_003, numRuns: 500 },
    );
    expect(bench.states()).toEqual(['unasked', 'asked', 'unasked']);
    expect(nonce).toHaveLength(16);
    bench.balances();
  });
});
