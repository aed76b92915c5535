/** A run in words: the table on the terminal, and the document that pages and charts are made from. */
import type { Machine } from './machine.js';
import type { MeasuredRow, Row, Side, Unit } from './row.js';
import { describeSaving, type SavingDocument } from './saving/saving-report.js';
import { median } from './statistics.js';

/** Everything about a run. */
export interface RunDocument {
  /** ISO 8601, the day. */
  readonly date: string;
  readonly machine: Machine;
  /** Of Stillwire's switch. */
  readonly engine: string;
  readonly rounds: number;
  /** How long each measurement lasted. */
  readonly ms: number;
  readonly rows: readonly MeasuredRow[];
  /** What could not be measured, and why. */
  readonly missing: readonly { readonly name: string; readonly why: string }[];
  /** What saving guests costs, if that was measured. */
  readonly saving?: SavingDocument;
}

/** Below this the machine was doing something else, and the figures mean little. */
const QUIET_PERCENT = 95;

/** The row as `--json` prints it. */
export const plainRow = ({ name, peer, ratio, spread, floor, goal, met }: MeasuredRow): Row => ({
  name,
  peer,
  ratio: rounded(ratio),
  spread: [rounded(spread[0]), rounded(spread[1])],
  floor,
  goal,
  met,
});

/** Three digits that mean something. */
export const rounded = (value: number): number => Number(value.toPrecision(3));

const SCALES: Readonly<Record<Unit, readonly [by: number, digits: number, unit: string]>> = {
  'bit/s': [1e9, 2, 'Gbit/s'],
  'frames/s': [1e3, 0, 'thousand a second'],
  µs: [1, 1, 'µs'],
  'ns/frame': [1, 0, 'ns'],
  ms: [1, 3, 'ms'],
};

/** A side's median with its unit. */
export function figure(unit: Unit, { figures }: Side): string {
  const [by, digits, name] = SCALES[unit];
  return `${(median(figures) / by).toFixed(digits)} ${name}`;
}

export const bound = (less: boolean, value: number): string => `${less ? '≤' : '≥'} ${value}`;

const reachesGoal = ({ less, ratio, goal }: MeasuredRow): boolean => (less ? ratio <= goal : ratio >= goal);

export function verdict(row: MeasuredRow): string {
  if (!row.met) return 'MISSED';
  return reachesGoal(row) ? 'goal' : 'floor';
}

export const spread = ([low, high]: readonly [number, number]): string =>
  `${rounded(low)} … ${rounded(high)}`;

/** Two lines of the table: the judgement, and the figures with their conditions. */
function lines(row: MeasuredRow): string[] {
  const { name, peer, less, ratio, floor, goal, unit, ours, theirs, pinning } = row;
  const judged = [
    name.padEnd(40),
    peer.padEnd(18),
    String(rounded(ratio)).padStart(6),
    spread(row.spread).padStart(16),
    bound(less, floor).padStart(8),
    bound(less, goal).padStart(8),
    `  ${verdict(row)}`,
  ];
  const sides = [ours, ...(theirs === undefined ? [] : [theirs])];
  return [
    judged.join(' '),
    ...sides.map((side) => `    ${side.carrier}: ${figure(unit, side)} (${side.conditions})`),
    `    ${pinning}`,
  ];
}

/** Date, machine, engine, rounds; and a warning where the figures mean little. */
export function describeMachineInWords({ machine, engine, rounds, ms, date }: RunDocument): string[] {
  const quiet = machine.idlePercent >= QUIET_PERCENT && machine.processors >= 2;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const system = [`Linux ${machine.kernel}`, `Node ${machine.node.slice(1)}`, ...versions].join(', ');
  return [
    `${date}: ${machine.cpu}, ${machine.processors} processors, ${machine.memoryGiB} GiB; ${system}`,
    `engine ${engine}; medians of ${rounds} rounds, ${ms} ms each; ${machine.idlePercent} % idle before`,
    ...(quiet ? [] : ['This machine was busy, or has one processor only: do not rely on these figures.']),
  ];
}

export function describeRun(run: RunDocument): string {
  return [
    ...describeMachineInWords(run),
    '',
    ...(run.rows.length === 0 ? [] : describeRows(run)),
    ...run.missing.map(({ name, why }) => `not measured: ${name}: ${why}`),
    ...(run.saving === undefined ? [] : describeSaving(run.saving)),
  ].join('\n');
}

function describeRows(run: RunDocument): string[] {
  const missed = run.rows.filter(({ met }) => !met).length;
  const head = ['measured', 'against', 'ratio', 'spread', 'floor', 'goal'];
  const widths = [-40, -18, 6, 16, 8, 8];
  return [
    head.map((word, i) => (widths[i]! < 0 ? word.padEnd(-widths[i]!) : word.padStart(widths[i]!))).join(' '),
    ...run.rows.flatMap(lines),
    `${run.rows.length} rows, ${missed} below their floor`,
  ];
}
