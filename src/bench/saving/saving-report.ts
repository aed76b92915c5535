/** What saving costs, as a table: for the terminal, and for docs/performance.md. */
import type { Load } from '../../demo/traffic-network.js';
import { median, spreadOf } from '../statistics.js';
import type { SavingFigures } from './figures.js';
import type { NotRun } from './plan.js';

export interface SavingRow {
  readonly guests: number;
  readonly saver: string;
  readonly rounds: readonly SavingFigures[];
  /** Why rounds came to nothing, in words. */
  readonly failed: readonly string[];
}

export interface SavingDocument {
  /** Version of the DMTCP on PATH. */
  readonly dmtcp: string | null;
  readonly load: Load;
  readonly rows: readonly SavingRow[];
  readonly notRun: readonly NotRun[];
}

export const SAVING_HEAD = [
  'guests',
  'saved by',
  'silence',
  'gap',
  'total',
  'restart',
  'sent',
  'lost',
  'duplicated',
  'reordered',
  'TCP',
];
/** Columns of {@link SAVING_HEAD} that are milliseconds. */
export const SAVING_MS = ['silence', 'gap', 'total', 'restart'];

const count = (value: number): string => value.toLocaleString('en-US');

/** Median, and least and greatest of the rounds. */
function spread(values: readonly number[]): string {
  const [least, most] = spreadOf(values).map(Math.round) as [number, number];
  return `${count(Math.round(median(values)))} (${count(least)} … ${count(most)})`;
}

const sum = (values: readonly number[]): string => count(values.reduce((total, value) => total + value, 0));

/** One row's cells. */
export function savingCells({ guests, saver, rounds }: SavingRow): string[] {
  if (rounds.length === 0)
    return [String(guests), saver, 'failed', ...Array<string>(SAVING_HEAD.length - 3).fill('')];
  const restarts = rounds.flatMap(({ restartMs }) => (restartMs === null ? [] : [restartMs]));
  const told = rounds.flatMap(({ datagrams }) => (datagrams === null ? [] : [datagrams]));
  const over = (name: 'sent' | 'lost' | 'duplicated' | 'reordered'): string =>
    told.length === 0 ? 'not told' : sum(told.map((each) => each[name]));
  return [
    String(guests),
    saver,
    spread(rounds.map(({ silenceMs }) => silenceMs)),
    spread(rounds.map(({ gapMs }) => gapMs)),
    spread(rounds.map(({ totalMs }) => totalMs)),
    restarts.length === 0 ? 'never answered' : spread(restarts),
    over('sent'),
    over('lost'),
    over('duplicated'),
    over('reordered'),
    tcpOf(rounds),
  ];
}

function tcpOf(rounds: readonly SavingFigures[]): string {
  if (rounds.every(({ tcp }) => tcp.intact)) {
    const again = rounds.reduce((total, { tcp }) => total + tcp.realRetransmits, 0);
    return again === 0 ? 'intact' : `intact, ${again} sent again`;
  }
  return 'broken';
}

/** What a reader has to know beside the cells. */
export function savingNotes({ rows, notRun }: SavingDocument): string[] {
  return [
    ...rows.flatMap((row) => [
      ...deadNote(row),
      ...[...new Set(row.rounds.flatMap(({ faults }) => faults))].map((fault) => `${named(row)}: ${fault}`),
      ...row.failed.map((why) => `${named(row)}: a round failed: ${why}`),
    ]),
    ...notRun.map(({ name, why }) => `not measured: ${name}: ${why}`),
  ];
}

const named = ({ guests, saver }: SavingRow): string => `${guests} × ${saver}`;

function deadNote(row: SavingRow): string[] {
  const unanswered = row.rounds.filter(({ restartMs }) => restartMs === null).length;
  const dead = row.rounds.filter(({ networkLives }) => !networkLives).length - unanswered;
  const of = `of ${row.rounds.length} restarts`;
  return [
    ...(unanswered === 0
      ? []
      : [`${named(row)}: no guest, or not every one, answered after ${unanswered} ${of}`]),
    ...(dead === 0
      ? []
      : [`${named(row)}: its network was dead after ${dead} ${of}: not one datagram arrived`]),
  ];
}

/** What was measured, in a line. */
export const savingConditions = ({ dmtcp, load }: SavingDocument): string =>
  `DMTCP ${dmtcp ?? 'none'}; each guest 128 MB; ${load.udpRate} datagrams and ${load.tcpRate}B of TCP a second and flow`;

/** Lines for the terminal. */
export function describeSaving(document: SavingDocument): string[] {
  const table = [SAVING_HEAD, ...document.rows.map(savingCells)];
  const widths = SAVING_HEAD.map((_, i) => Math.max(...table.map((cells) => cells[i]!.length)));
  return [
    `saving; ${savingConditions(document)}; milliseconds: median (least … greatest)`,
    ...table.map((cells) =>
      cells
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    ),
    ...savingNotes(document),
  ];
}
