/** What a demo amounts to: its verdict, as a document and as a table. */
import { join } from 'node:path';
import type { CheckpointReport } from '../checkpoint/index.js';
import { INFLIGHT_FILE } from '../image/index.js';
import { isFaultless, type Tally } from './tally.js';

export interface Cut {
  readonly report: CheckpointReport;
  /** Sequenced datagrams in flight, counted from the pcapng. */
  readonly inFlightUdp: number;
}

export interface Account {
  readonly cuts: readonly Cut[];
  /** What the kill left behind, in words. */
  readonly left: readonly string[];
  readonly restartMs: number;
  /** Datagrams a second of the slowest flow before the first checkpoint. */
  readonly slowestRate: number;
  readonly tally: Tally;
}

/** What `stillwire demo --json` prints. */
export interface DemoReport {
  readonly ok: boolean;
  readonly udp: Tally['udp'];
  readonly tcp: Tally['tcp'];
  readonly checkpoints: readonly {
    readonly inFlightFrames: number;
    readonly inFlightUdp: number;
    readonly pauseMs: number;
    readonly proven: boolean;
  }[];
  readonly restartMs: number;
}

/** Everything that keeps the demo from being a success, in words. */
export function faultsOf({ cuts, left, tally }: Account, leastInFlight: number): string[] {
  const { udp, tcp } = tally;
  return [
    ...cuts.flatMap(({ report: { name, proven }, inFlightUdp }) => [
      ...(proven ? [] : [`the cut of ${name} is not proven`]),
      ...(inFlightUdp >= leastInFlight
        ? []
        : [`${inFlightUdp} sequenced datagrams were in flight at ${name}, ${leastInFlight} were wanted`]),
    ]),
    ...left.map((what) => `after the kill there was still: ${what}`),
    ...tally.faults,
    ...(isFaultless({ ...tally, faults: [] })
      ? []
      : [
          `UDP: ${udp.lost} lost, ${udp.duplicated} duplicated, ${udp.reordered} reordered; ` +
            `TCP: ${tcp.intact ? 'intact' : 'NOT INTACT'}, ${tcp.realRetransmits} real retransmits; ` +
            `dropped by guests themselves: ${tally.guestDrops.join(', ') || 'nothing'}`,
        ]),
  ];
}

const round = (ms: number): number => Math.round(ms * 10) / 10;

export function reportOf(account: Account, leastInFlight: number): DemoReport {
  const { cuts, restartMs, tally } = account;
  return {
    ok: faultsOf(account, leastInFlight).length === 0,
    udp: tally.udp,
    tcp: tally.tcp,
    checkpoints: cuts.map(({ report, inFlightUdp }) => ({
      inFlightFrames: report.inFlightFrames,
      inFlightUdp,
      pauseMs: round(report.pauseMs),
      proven: report.proven,
    })),
    restartMs,
  };
}

const figure = (count: number): string => count.toLocaleString('en-US');

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('   '),
  );
}

/** The small table at the end, and where things lie. */
export function describeAccount(account: Account, leastInFlight: number): string {
  const { cuts, restartMs, slowestRate, tally } = account;
  const { udp, tcp } = tally;
  const row = (title: string, of: (cut: Cut) => string): string[] => [title, ...cuts.map(of)];
  const faults = faultsOf(account, leastInFlight);
  return [
    ...columns([
      row('checkpoint', ({ report }) => (report.killed ? `${report.name} (kill)` : report.name)),
      row('frames in flight', ({ report }) => figure(report.inFlightFrames)),
      row('  sequenced UDP', ({ inFlightUdp }) => figure(inFlightUdp)),
      row('proven complete', ({ report }) => (report.proven ? 'yes' : 'NO')),
      row('pause', ({ report }) => `${Math.round(report.pauseMs)} ms`),
    ]),
    '',
    ...columns([
      ['UDP datagrams', 'sent', 'lost', 'duplicated', 'reordered'],
      ['', ...[udp.sent, udp.lost, udp.duplicated, udp.reordered].map(figure)],
    ]),
    ...columns([
      ['TCP streams', 'bytes', 'intact', 'real retransmits'],
      ['', figure(tcp.bytes), tcp.intact ? 'yes' : 'NO', figure(tcp.realRetransmits)],
    ]),
    '',
    `restart took ${restartMs} ms; slowest of ${tally.flows} flows ${figure(Math.round(slowestRate))} datagrams/s; ` +
      `largest gap of a sender ${Math.round(tally.largestGapMs)} ms by its own clock`,
    ...cuts.map(({ report }) => `${report.name}: ${report.path}`),
    `in flight, for Wireshark: ${cuts.map(({ report }) => join(report.path, INFLIGHT_FILE)).join(' and ')}`,
    '',
    ...(faults.length === 0
      ? ['Nothing was lost, doubled or reordered.']
      : faults.map((fault) => `FAILED: ${fault}`)),
  ].join('\n');
}
