import { expect, test } from 'vitest';
import { growthFaults, lifeReport, type Sample } from '../../src/demo/daemon-memory.js';
import { slopeOf, spreadOf } from '../../src/demo/figures.js';
import { kindOf } from '../../src/demo/frame-kinds.js';
import { mixedGuests, PARTS, type Part } from '../../src/demo/mixed-load.js';
import { tallyMixed } from '../../src/demo/mixed-tally.js';
import { SeededRandom } from '../../src/demo/random.js';
import type { GuestResult } from '../../src/demo/result.js';
import { planSoak, type Step } from '../../src/demo/soak-plan.js';
import { soakReport } from '../../src/demo/soak-report.js';
import type { Cut, SoakAccount } from '../../src/demo/soak.js';

const METHODS = ['auto', 'count', 'cookie', 'quiet'] as const;
const plan = (inPlace: number, kill: number, seed: number): Step[] =>
  planSoak({ inPlace, kill, methods: METHODS }, new SeededRandom(seed));

test.for([
  [1000, 200],
  [60, 12],
  [5, 0],
  [0, 3],
  [1, 1],
])('a plan of %i in place and %i kills holds just as many', ([inPlace, kill]) => {
  const steps = plan(inPlace!, kill!, 7);
  const count = (kind: Step['kind']): number => steps.filter((step) => step.kind === kind).length;
  expect(count('inPlace') + 2 * count('twice')).toBe(inPlace);
  expect(count('kill')).toBe(kill);
});

test('a plan is the seed’s, has every mode and method, little quiet, and long lives', () => {
  const steps = plan(1000, 200, 1);
  expect(plan(1000, 200, 1)).toEqual(steps);
  expect(plan(1000, 200, 2)).not.toEqual(steps);
  expect(new Set(steps.map(({ kind }) => kind))).toEqual(new Set(['inPlace', 'twice', 'kill', 'aborted']));
  expect(new Set(steps.map(({ method }) => method))).toEqual(new Set(METHODS));
  const quiet = steps.filter(({ method }) => method === 'quiet').length / steps.length;
  expect(quiet).toBeGreaterThan(0.02);
  expect(quiet).toBeLessThan(0.1);
  const lives = steps
    .map(({ kind }) => (kind === 'kill' ? 'K' : '-'))
    .join('')
    .split('K');
  expect(lives.filter((life) => life.length > 200).length).toBeGreaterThanOrEqual(3);
});

test('spread and slope', () => {
  expect(spreadOf([])).toBeNull();
  expect(spreadOf([3])).toEqual({ least: 3, median: 3, p90: 3, p99: 3, most: 3 });
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect(spreadOf(hundred)).toEqual({ least: 1, median: 50, p90: 90, p99: 99, most: 100 });
  expect(slopeOf([1, 3, 5, 7])).toBeCloseTo(2);
  expect(slopeOf([4])).toBe(0);
});

/** `count` samples that grow by so much a cycle. */
const life = (count: number, grows: Partial<Sample>): Sample[] =>
  Array.from({ length: count }, (_, i) => ({
    rssMiB: 90 + (i % 5) + (grows.rssMiB ?? 0) * i,
    heapMiB: 20 + (i % 7) + (grows.heapMiB ?? 0) * i,
    buffersMiB: 7 + (i % 3) + (grows.buffersMiB ?? 0) * i,
    descriptors: 39 + (i % 2) + (grows.descriptors ?? 0) * i,
    threads: 12 + (grows.threads ?? 0) * i,
  }));

test('a daemon that grows is told from one that does not', () => {
  const faults = (count: number, grows: Partial<Sample> = {}): string[] =>
    growthFaults(lifeReport(life(count, grows)), 1);
  expect(faults(300)).toEqual([]);
  expect(faults(300, { rssMiB: 0.1 })).toEqual([expect.stringMatching(/resident set grows by 10/)]);
  expect(faults(150, { rssMiB: 0.1 })).toEqual([]);
  expect(faults(300, { buffersMiB: 0.03 })).toEqual([expect.stringMatching(/memory in buffers grows by 3/)]);
  expect(faults(300, { heapMiB: 0.02 })).toEqual([expect.stringMatching(/heap grows by 2/)]);
  expect(faults(30, { buffersMiB: 1 })).toEqual([]); // too short to be judged
  expect(faults(30, { descriptors: 1 })).toEqual([expect.stringMatching(/descriptors/)]);
  expect(faults(30, { threads: 1 })).toEqual([expect.stringMatching(/threads/)]);
});

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const UNICAST = '525400000002 525400000001';
const GROUP = '01005e070707 525400000001';
const TAG = '8100 000a';
const ip4 = (protocol: string, fragment = '4000'): string =>
  `0800 4500003c 0000${fragment} 40${protocol}0000 0a010001 0a010002`;
const ip6 = (next: string): string => `86dd 60000000 001c${next}40 ${'00'.repeat(32)}`;
const to = (port: number): string => `c000 ${port.toString(16).padStart(4, '0')} 00000000 ${'00'.repeat(20)}`;

test.for([
  ['udp', `${UNICAST} ${ip4('11')} ${to(7001)}`],
  ['udp', `${UNICAST} ${ip6('11')} ${to(7001)}`],
  ['fragment', `${UNICAST} ${ip4('11', '2000')} ${to(7001)}`],
  ['fragment', `${UNICAST} ${ip4('11', '00b9')} ${to(1)}`],
  ['fragment', `${UNICAST} ${ip6('2c')} ${to(1)}`],
  ['jumbo', `${UNICAST} ${ip4('11')} ${to(7001)} ${'00'.repeat(2000)}`],
  ['multicast', `${GROUP} ${ip4('11')} ${to(7001)}`],
  ['vlanUdp', `${UNICAST} ${TAG} ${ip4('11')} ${to(7001)}`],
  ['vlanTcp', `${UNICAST} ${TAG} ${ip6('06')} ${to(7002)}`],
  ['bulkTcp', `${UNICAST} ${ip4('06')} ${to(7002)}`],
  ['shortTcp', `${UNICAST} ${ip6('06')} ${to(7004)}`],
  ['neighbour', `${UNICAST} 0806 ${'00'.repeat(46)}`],
  ['neighbour', `${UNICAST} ${ip6('3a')} 8700 ${'00'.repeat(30)}`],
  ['other', `${UNICAST} ${ip6('3a')} 8f00 ${'00'.repeat(30)}`],
  ['other', `${UNICAST} ${ip4('11')} ${to(53)}`],
  ['other', `${UNICAST} 0800 4f00`],
  ['other', ''],
])('a frame of kind %s', ([kind, frame]) => {
  expect(kindOf(hex(frame!))).toBe(kind);
});

test('each guest is given all the lanes, and its kernel’s command line has room for them', () => {
  const guests = mixedGuests(9);
  for (const { parameters, peers, lanes } of Object.values(guests)) {
    const words = [...parameters, ...Object.entries(peers!).flat(), ...lanes!];
    expect(words.join(' ').length).toBeLessThan(1900);
    expect(lanes!.filter((word) => word === '--lane')).toHaveLength(4);
  }
  const plain = mixedGuests(2, [])['g1']!;
  expect(plain.lanes).toEqual([]);
  expect(plain.segments).toEqual(['lan']);
});

const LANES = ['main', 'fragments', 'jumbo', 'multicast', 'vlan'];
const TCP_LANES = ['main', 'jumbo', 'vlan'];
const SHORT = { refused: 0, timedOut: 0, broken: 0, damaged: 0, synRetransmits: 0, realRetransmits: 0 };

function mixedResult(guest: string, peer: string): GuestResult {
  const flows = LANES.flatMap((lane) => ([4, 6] as const).map((family) => ({ peer, family, lane })));
  const none = { duplicated: 0, reordered: 0, damaged: 0, tooOld: 0 };
  const carries = (lane: string): boolean => TCP_LANES.includes(lane);
  const made = { opened: 10, completed: 10, ...SHORT };
  return {
    guest,
    complete: true,
    udp: flows.map((flow) => ({ ...flow, sent: 100, received: 100, ...none })),
    tcp: flows
      .filter(({ lane }) => carries(lane))
      .map((flow) => ({ ...flow, bytes: 5000, sent: 5000, intact: true })),
    out: flows.map((flow) => ({
      ...flow,
      datagrams: 100,
      bytes: carries(flow.lane) ? 5000 : 0,
      largestGapMs: 3,
      retransmitted: 2,
      unneeded: 2,
    })),
    short: [{ peer, family: 4, made, served: { ...made, told: 10 } }],
    churn: { flushes: 3, forgotten: 6 },
    largestGapMs: 3,
    realRetransmits: 0,
    tcpCounters: { TCPFastRetrans: 0 },
    ipCounters: { ReasmOKs: 40 },
  };
}
const mixed = (change: Partial<GuestResult> = {}): GuestResult[] => [
  { ...mixedResult('g1', 'g2'), ...change },
  mixedResult('g2', 'g1'),
];
type Entry = { readonly lane?: string; readonly family: number };
const inLane = <T extends Entry>(flows: readonly T[], lane: string, change: Partial<T>): T[] =>
  flows.map((flow) => (flow.lane === lane && flow.family === 6 ? { ...flow, ...change } : flow));
const G1 = mixedResult('g1', 'g2');
const SERVED = G1.short![0]!;

test('a faultless mixed load: every lane for itself', () => {
  const tally = tallyMixed(mixed(), PARTS);
  expect(tally.faults).toEqual([]);
  expect(Object.keys(tally.lanes)).toEqual(LANES);
  expect(tally.lanes['multicast']).toMatchObject({ sent: 400, received: 400, lost: 0, tcp: { streams: 0 } });
  expect(tally.lanes['vlan']!.tcp).toEqual({ streams: 4, bytes: 20_000, intact: true, realRetransmits: 0 });
  expect(tally.short).toMatchObject({ opened: 20, completed: 20, served: 20 });
  expect(tally.guestCounters['ReasmOKs']).toBe(80);
});

test.for<[string, Partial<GuestResult>, RegExp]>([
  ['a lost fragment', { udp: inLane(G1.udp, 'fragments', { received: 99 }) }, /fragments: 1 lost/],
  ['a doubled jumbo', { udp: inLane(G1.udp, 'jumbo', { duplicated: 1 }) }, /jumbo: 0 lost, 1 duplicated/],
  ['a damaged one', { udp: inLane(G1.udp, 'vlan', { damaged: 1 }) }, /vlan: .*damaged/],
  ['a silent group', { out: inLane(G1.out, 'multicast', { datagrams: 0 }) }, /multicast: .*nothing was sent/],
  ['a broken tagged stream', { tcp: inLane(G1.tcp, 'vlan', { intact: false }) }, /vlan: .*NOT INTACT/],
  [
    'a real retransmit',
    { out: inLane(G1.out, 'jumbo', { retransmitted: 3 }) },
    /jumbo: .*1 real retransmits/,
  ],
  [
    'a refused connection',
    { short: [{ ...SERVED, made: { ...SERVED.made, completed: 9, refused: 1 } }] },
    /short connections/,
  ],
  [
    'a connection that only the client knows of',
    { short: [{ ...SERVED, served: { ...SERVED.served, completed: 9 } }] },
    /short connections/,
  ],
])('%s is no success', ([, change, words]) => {
  expect(tallyMixed(mixed(change), PARTS).faults.join('\n')).toMatch(words);
});

test('a part of the load that was not there is no success', () => {
  const without = mixed().map((result) => ({
    ...result,
    short: [],
    churn: { flushes: 0, forgotten: 0 },
    ipCounters: {},
  }));
  expect(tallyMixed(without, PARTS).faults).toHaveLength(3);
});

const NO_KINDS = {} as Cut['inFlight']['kinds'];
const cut = (method: Cut['method'], proven: boolean): Cut => ({
  ...{ kind: 'inPlace', method, killed: false, proven, doubts: [], pauseMs: 40, inFlightFrames: 5 },
  inFlight: { kinds: NO_KINDS, superframes: 0 },
});

test('only quiet may be unproven, or give up for not being quiet', () => {
  const parts: readonly Part[] = PARTS;
  const tally = tallyMixed(mixed(), parts);
  const account: SoakAccount = {
    cuts: [],
    refusals: [],
    aborted: 1,
    lives: [],
    tally,
    tapDrops: 0,
    switchDrops: {},
  };
  const report = (change: Partial<SoakAccount>): ReturnType<typeof soakReport> =>
    soakReport({ ...account, ...change }, { seed: 1, guests: 2, parts });
  const sound = report({ cuts: [cut('count', true), cut('quiet', false)] });
  expect(sound).toMatchObject({ ok: true, checkpoints: 2, unproven: 0, lost: 0, realRetransmits: 0 });
  expect(sound.methods.quiet).toMatchObject({ unproven: 1 });
  expect(report({ cuts: [cut('auto', false)] })).toMatchObject({ ok: false, unproven: 1 });
  const refusal = { kind: 'inPlace', message: 'no' } as const;
  expect(report({ refusals: [{ ...refusal, method: 'quiet', code: 'NOT_QUIET' }] }).ok).toBe(true);
  expect(report({ refusals: [{ ...refusal, method: 'count', code: 'PORT_UNREADY' }] }).ok).toBe(false);
  expect(report({ lives: [life(300, { buffersMiB: 1 })] }).ok).toBe(false);
  expect(report({ tapDrops: 1 }).ok).toBe(false);
  expect(report({ switchDrops: { queueFull: 1 } }).ok).toBe(false);
});
