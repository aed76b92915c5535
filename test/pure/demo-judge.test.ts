import { expect, test } from 'vitest';
import { reportOf, type Account, type Cut } from '../../src/demo/account.js';
import { parseResult, type GuestResult } from '../../src/demo/result.js';
import { isSequenced } from '../../src/demo/sequenced.js';
import { isFaultless, slowestFlow, tallyUp } from '../../src/demo/tally.js';

const FAMILIES = [4, 6] as const;
type Flows<K extends 'udp' | 'tcp' | 'out'> = GuestResult[K][number];

/** What a guest reports when it exchanged 100 datagrams and 5000 bytes with each peer and family, faultlessly. */
function result(guest: string, ...peers: string[]): GuestResult {
  const flows = peers.flatMap((peer) => FAMILIES.map((family) => ({ peer, family })));
  const none = { duplicated: 0, reordered: 0, damaged: 0, tooOld: 0 };
  return {
    guest,
    complete: true,
    udp: flows.map((flow) => ({ ...flow, sent: 100, received: 100, ...none })),
    tcp: flows.map((flow) => ({ ...flow, bytes: 5000, sent: 5000, intact: true })),
    out: flows.map((flow) => ({ ...flow, datagrams: 100, bytes: 5000, largestGapMs: 3 })),
    largestGapMs: guest === 'a' ? 3 : 7,
    realRetransmits: 0,
    tcpCounters: { TCPFastRetrans: 0 },
  };
}

const sound = (): [GuestResult, GuestResult, GuestResult] => [
  result('a', 'b', 'c'),
  result('b', 'a', 'c'),
  result('c', 'a', 'b'),
];

/** The reports with the first incoming or outgoing flow of guest a changed. */
function changed<K extends 'udp' | 'tcp' | 'out'>(key: K, change: Partial<Flows<K>>): GuestResult[] {
  const [a, ...others] = sound();
  const [first, ...rest] = a[key] as Flows<K>[];
  return [{ ...a, [key]: [{ ...first, ...change }, ...rest] }, ...others];
}

test('three sound reports: all flows, all sums, no fault', () => {
  const tally = tallyUp(sound());
  expect(tally).toEqual({
    udp: { sent: 1200, lost: 0, duplicated: 0, reordered: 0 },
    tcp: { bytes: 60_000, intact: true, realRetransmits: 0 },
    largestGapMs: 7,
    guestDrops: [],
    flows: 12,
    faults: [],
  });
  expect(isFaultless(tally)).toBe(true);
});

test('what a guest dropped itself is told, and by whom', () => {
  const [a, ...others] = sound();
  const links = { QueueDrops: 12, DeviceDrops: 0, SoftnetDrops: 0 };
  const tally = tallyUp([
    { ...a, linkCounters: links, ipCounters: { ReasmOKs: 4, OutDiscards: 1 } },
    ...others,
  ]);
  expect(tally.guestDrops).toEqual(['a QueueDrops 12', 'a OutDiscards 1']);
});

test.for<[string, GuestResult[], RegExp | undefined]>([
  ['a lost datagram', changed('udp', { received: 99 }), undefined],
  ['a doubled datagram', changed('udp', { duplicated: 1 }), undefined],
  ['a reordered datagram', changed('udp', { reordered: 1 }), undefined],
  ['a stream not intact', changed('tcp', { intact: false }), undefined],
  ['a stream not judged', changed('tcp', { intact: null }), undefined],
  ['a stream cut short that the receiver believes whole', changed('tcp', { bytes: 4000 }), undefined],
  ['a damaged datagram', changed('udp', { damaged: 1 }), /b → a IPv4: 1 damaged/],
  ['a receiver told another total', changed('udp', { sent: 101 }), /b → a IPv4: the receiver was told 101/],
  ['a sender that sent more than it told', changed('out', { datagrams: 101 }), /a → b IPv4/],
  ['a silent sender', changed('out', { datagrams: 0 }), /a → b IPv4: nothing was sent/],
  ['a flow without a report', changed('udp', { peer: 'x' }), /b → a IPv4: no report/],
  ['an incomplete exchange', [{ ...sound()[0], complete: false }, ...sound().slice(1)], /a is not complete/],
  ['a real retransmit', [{ ...sound()[0], realRetransmits: 1 }, ...sound().slice(1)], undefined],
])('%s is no success', ([, results, words]) => {
  const tally = tallyUp(results);
  expect(isFaultless(tally)).toBe(false);
  if (words !== undefined) expect(tally.faults.join('\n')).toMatch(words);
});

test('the rate of the slowest flow', () => {
  const after = changed('out', { datagrams: 350 }).map((each) => ({
    ...each,
    out: each.out.map((flow) => ({ ...flow, datagrams: flow.datagrams + 1000 })),
  }));
  expect(slowestFlow(sound(), after, 2000)).toBe(500);
});

test('what a guest reports is read strictly', () => {
  const line = JSON.stringify({ ...result('a', 'b'), more: 1 });
  expect(parseResult('a', line).guest).toBe('a');
  expect(() => parseResult('a', line.slice(0, -9))).toThrow(/guest a reported what is no result/);
  expect(() => parseResult('a', '{"guest":"a"}')).toThrow(/no result/);
});

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const MACS = '525400000002 525400000001';
const PAYLOAD = '53575431 0400 0030'; // SWT1, family 4, length 48
const IPV4 = '4500003c 00004000 40110000 0a010001 0a010002';
const IPV6 = `60000000 001c1140 ${'fd01'.padEnd(32, '0')} ${'fd01'.padEnd(32, '0')}`;
const UDP = 'c000 1b59 0038 0000'; // to 7001

test.for<[string, string, boolean]>([
  ['IPv4', `${MACS} 0800 ${IPV4} ${UDP} ${PAYLOAD} ${'00'.repeat(20)}`, true],
  [
    'IPv4 with options',
    `${MACS} 0800 46${IPV4.slice(2)} 01010101 ${UDP} ${PAYLOAD} ${'00'.repeat(20)}`,
    true,
  ],
  ['IPv6', `${MACS} 86dd ${IPV6} ${UDP} ${PAYLOAD}`, true],
  [
    'another port',
    `${MACS} 0800 ${IPV4} ${UDP.replace('1b59', '1b5b')} ${PAYLOAD} ${'00'.repeat(20)}`,
    false,
  ],
  ['another payload', `${MACS} 0800 ${IPV4} ${UDP} 00${PAYLOAD.slice(2)} ${'00'.repeat(20)}`, false],
  ['TCP', `${MACS} 0800 ${IPV4.replace('4011', '4006')} ${UDP} ${PAYLOAD} ${'00'.repeat(20)}`, false],
  ['ARP', `${MACS} 0806 ${'00'.repeat(46)}`, false],
  ['cut short', `${MACS} 86dd ${IPV6} ${UDP} 5357`, false],
  ['nothing', '', false],
])('a sequenced datagram: %s', ([, frame, is]) => {
  expect(isSequenced(hex(frame))).toBe(is);
});

const cut = (name: string, proven: boolean, inFlightUdp: number): Cut => ({
  report: { name, proven, inFlightFrames: inFlightUdp + 3, pauseMs: 41.26 } as Cut['report'],
  inFlightUdp,
});
const account = (change: Partial<Account>): Account => ({
  cuts: [cut('first', true, 10), cut('second', true, 99)],
  left: [],
  restartMs: 700,
  slowestRate: 998,
  tally: tallyUp(sound()),
  ...change,
});

test('the demo is a success only when all of it is', () => {
  expect(reportOf(account({}), 10)).toEqual({
    ok: true,
    udp: { sent: 1200, lost: 0, duplicated: 0, reordered: 0 },
    tcp: { bytes: 60_000, intact: true, realRetransmits: 0 },
    checkpoints: [
      { inFlightFrames: 13, inFlightUdp: 10, pauseMs: 41.3, proven: true },
      { inFlightFrames: 102, inFlightUdp: 99, pauseMs: 41.3, proven: true },
    ],
    restartMs: 700,
  });
  const bad: Partial<Account>[] = [
    { cuts: [cut('first', true, 9), cut('second', true, 99)] },
    { cuts: [cut('first', true, 10), cut('second', false, 99)] },
    { left: ['socket /run/stillwire/demo.sock'] },
    { tally: tallyUp(changed('udp', { received: 99 })) },
    { tally: tallyUp(changed('udp', { damaged: 1 })) },
  ];
  for (const change of bad) expect(reportOf(account(change), 10).ok).toBe(false);
});
