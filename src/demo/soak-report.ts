/** What a soak amounts to: its document, its verdict, and both for a person. */
import { QUIESCE_METHODS, type QuiesceMethod } from '../quiesce/index.js';
import { growthFaults, lifeReport, type LifeReport } from './daemon-memory.js';
import { spreadOf, type Spread } from './figures.js';
import { FRAME_KINDS } from './frame-kinds.js';
import type { Cut, SoakAccount, SoakOptions } from './soak.js';

interface MethodReport {
  readonly inPlace: number;
  readonly killed: number;
  readonly unproven: number;
  /** Gave up, with nothing changed: for `quiet` no fault. */
  readonly notQuiet: number;
  readonly pauseMs: Spread | null;
}

export interface SoakReport {
  readonly ok: boolean;
  readonly seed: number;
  readonly guests: number;
  readonly load: readonly string[];
  /** Checkpoints in place that were completed; then those with kill, each of which was restarted. */
  readonly checkpoints: number;
  readonly restarts: number;
  /** Over all cuts, and over all lanes of the load. */
  readonly inFlightFrames: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly damaged: number;
  readonly tcpIntact: boolean;
  readonly realRetransmits: number;
  /** Cuts by another method than `quiet` that were not proven. */
  readonly unproven: number;
  /** Completed cuts by what was done; `undone`: aborted by the client and undone. */
  readonly modes: Readonly<Record<string, number>>;
  readonly methods: Readonly<Partial<Record<QuiesceMethod, MethodReport>>>;
  readonly pauseMs: Spread | null;
  readonly restartMs: Spread | null;
  /** Frames in flight at one cut, by kind of traffic. */
  readonly inFlight: Readonly<Record<string, Spread | null>>;
  readonly traffic: Omit<SoakAccount['tally'], 'faults'>;
  /** Of each daemon that lived for more than a few cycles, in turn. */
  readonly daemons: readonly LifeReport[];
  /** Frames the kernel dropped at the guests' TAPs; those just before a kill are not seen. */
  readonly tapDrops: number;
  /** Frames the switch dropped, by reason. */
  readonly switchDrops: Readonly<Record<string, number>>;
  readonly faults: readonly string[];
}

/** Shorter lives are left out of the document; they are judged all the same. */
const LEAST_SHOWN = 10;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function methodReport(account: SoakAccount, method: QuiesceMethod): MethodReport {
  const cuts = account.cuts.filter((cut) => cut.method === method);
  return {
    inPlace: cuts.filter(({ killed }) => !killed).length,
    killed: cuts.filter(({ killed }) => killed).length,
    unproven: cuts.filter(({ proven }) => !proven).length,
    notQuiet: account.refusals.filter((each) => each.method === method && each.code === 'NOT_QUIET').length,
    pauseMs: spreadOf(pausesOf(cuts)),
  };
}

/** With kill a pause lasts until the guests are ended: another thing. */
const pausesOf = (cuts: readonly Cut[]): number[] =>
  cuts.filter(({ killed }) => !killed).map(({ pauseMs }) => pauseMs);

function faultsOf({ cuts, refusals, lives, tally, tapDrops, switchDrops }: SoakAccount): string[] {
  const unproven = cuts.filter(({ method, proven }) => method !== 'quiet' && !proven);
  return [
    ...tally.faults,
    ...unproven.map(({ method, doubts }) => `a cut by ${method} was not proven: ${doubts.join('; ')}`),
    ...cuts
      .filter(({ method, proven }) => method === 'quiet' && proven)
      .map(() => 'a cut by quiet claims to be proven'),
    ...refusals
      .filter(({ method, code }) => !(method === 'quiet' && code === 'NOT_QUIET'))
      .map(({ kind, method, code, message }) => `${kind} by ${method} gave up: ${code}: ${message}`),
    ...(tapDrops === 0 ? [] : [`the kernel dropped ${tapDrops} frames at the TAPs`]),
    ...Object.entries(switchDrops).map(([reason, count]) => `the switch dropped ${count} frames: ${reason}`),
    ...lives.flatMap((samples, i) => growthFaults(lifeReport(samples), i + 1)),
  ];
}

export function soakReport(
  account: SoakAccount,
  options: Pick<SoakOptions, 'seed' | 'guests' | 'parts'>,
): SoakReport {
  const { cuts, lives, tally, aborted } = account;
  const lanes = Object.values(tally.lanes);
  const faults = faultsOf(account);
  const killed = cuts.filter((cut) => cut.killed);
  const modes: Record<string, number> = { inPlace: 0, twice: 0, kill: 0, aborted: 0, undone: aborted };
  for (const { kind } of cuts) modes[kind] = (modes[kind] ?? 0) + 1;
  const used = QUIESCE_METHODS.filter(
    (method) =>
      cuts.some((cut) => cut.method === method) || account.refusals.some((each) => each.method === method),
  );
  return {
    ok: faults.length === 0,
    seed: options.seed,
    guests: options.guests,
    load: ['main', ...options.parts],
    checkpoints: cuts.length - killed.length,
    restarts: killed.length,
    inFlightFrames: sum(cuts.map(({ inFlightFrames }) => inFlightFrames)),
    lost: sum(lanes.map(({ lost }) => lost)),
    duplicated: sum(lanes.map(({ duplicated }) => duplicated)),
    reordered: sum(lanes.map(({ reordered }) => reordered)),
    damaged: sum(lanes.map(({ damaged }) => damaged)) + tally.short.damaged,
    tcpIntact: lanes.every(({ tcp }) => tcp.intact) && tally.short.broken === 0,
    realRetransmits: sum(lanes.map(({ tcp }) => tcp.realRetransmits)) + tally.short.realRetransmits,
    unproven: cuts.filter(({ method, proven }) => method !== 'quiet' && !proven).length,
    modes,
    methods: Object.fromEntries(used.map((method) => [method, methodReport(account, method)])),
    pauseMs: spreadOf(pausesOf(cuts)),
    restartMs: spreadOf(cuts.flatMap(({ restartMs }) => restartMs ?? [])),
    inFlight: {
      all: spreadOf(cuts.map(({ inFlightFrames }) => inFlightFrames)),
      ...Object.fromEntries(
        FRAME_KINDS.map((kind) => [kind, spreadOf(cuts.map(({ inFlight }) => inFlight.kinds[kind]))]),
      ),
      superframes: spreadOf(cuts.map(({ inFlight }) => inFlight.superframes)),
    },
    traffic: {
      lanes: tally.lanes,
      short: tally.short,
      churn: tally.churn,
      largestGapMs: tally.largestGapMs,
      guestCounters: tally.guestCounters,
    },
    tapDrops: account.tapDrops,
    switchDrops: account.switchDrops,
    daemons: lives.filter(({ length }) => length >= LEAST_SHOWN).map(lifeReport),
    faults,
  };
}

const figure = (count: number): string => count.toLocaleString('en-US');
const words = (spread: Spread | null, unit = ''): string =>
  spread === null
    ? '-'
    : `median ${spread.median}${unit}, p90 ${spread.p90}, p99 ${spread.p99}, ${spread.least} to ${spread.most}`;

export function describeSoak(report: SoakReport): string {
  const { traffic, modes } = report;
  const rows: [string, string][] = [
    ['checkpoints', `${report.checkpoints} in place, ${report.restarts} with kill and restart`],
    ['', `${modes['twice'] ?? 0} in pairs without pause, ${modes['undone'] ?? 0} aborted and undone`],
  ];
  for (const [method, each] of Object.entries(report.methods)) {
    const done = `${each.inPlace + each.killed} cuts, ${each.unproven} not proven`;
    rows.push([method, `${done}; pause ${words(each.pauseMs, ' ms')}`]);
  }
  rows.push(['restart', words(report.restartMs, ' ms')]);
  for (const [kind, spread] of Object.entries(report.inFlight))
    rows.push([`in flight: ${kind}`, words(spread)]);
  for (const [lane, { sent, lost, duplicated, reordered, damaged, tcp }] of Object.entries(traffic.lanes)) {
    const udp = `UDP ${figure(sent)} sent, ${lost} lost, ${duplicated} doubled, ${reordered} reordered, ${damaged} damaged`;
    const stream = `TCP ${figure(tcp.bytes)} bytes, ${tcp.intact ? 'intact' : 'NOT INTACT'}, ${tcp.realRetransmits} real retransmits`;
    rows.push([lane, tcp.streams === 0 ? udp : `${udp}; ${stream}`]);
  }
  const { opened, completed, served, synRetransmits } = traffic.short;
  rows.push([
    'short TCP',
    `${figure(opened)} opened, ${figure(completed)} completed, ${figure(served)} served, ${synRetransmits} SYNs again`,
  ]);
  rows.push(['neighbours', `${figure(traffic.churn.forgotten)} forgotten in ${traffic.churn.flushes} times`]);
  report.daemons.forEach(({ cycles, rssMiB, heapMiB, buffersMiB, descriptors }, i) => {
    const grown = ({ first, last, per100Cycles }: LifeReport['rssMiB']): string =>
      `${first} to ${last} MiB (${per100Cycles ?? '?'} in 100 cycles)`;
    const open = `descriptors ${descriptors.first} to ${descriptors.last}`;
    rows.push([
      `daemon ${i + 1}`,
      `${cycles} cycles; RSS ${grown(rssMiB)}, heap ${grown(heapMiB)}, buffers ${grown(buffersMiB)}, ${open}`,
    ]);
  });
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    '',
    ...(report.ok ? ['All zeros.'] : report.faults.map((fault) => `FAILED: ${fault}`)),
  ].join('\n');
}
