/** Figures and tables for a person. */
import { printable } from './terminal.js';

/** `0.1 ms`, `41.3 ms`, `1.25 s`. */
export function milliseconds(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms < 100 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `512 B`, `31.2 MiB`. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]!}`;
}

/** `1 frame`, `3 frames`. */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** `2025-03-04 05:06:07.089 UTC` from ISO 8601 in UTC. */
export const instant = (iso: string): string => iso.replace('T', ' ').replace(/Z$/, ' UTC');

export type Cell = string | number | undefined;

/** Rows under a heading, columns two spaces apart, numbers to the right; an absent cell is `-`. No line feed at the end. */
export function table(heading: readonly string[], rows: readonly (readonly Cell[])[], indent = ''): string {
  // Counted as printed, or a hostile name would push its row aside.
  const cells = rows.map((row) => row.map((cell) => printable(String(cell ?? '-'))));
  const widths = heading.map((title, i) =>
    Math.max(title.length, ...cells.map((row) => row[i]?.length ?? 0)),
  );
  const isFigure = heading.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] !== 'string'));
  return [heading, ...cells]
    .map((row) =>
      row.map((cell, i) => (isFigure[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('  '),
    )
    .map((line) => `${indent}${line}`.trimEnd())
    .join('\n');
}

/** Lines `name  value`, the values in one column. */
export function facts(entries: readonly (readonly [name: string, value: string | undefined])[]): string {
  const known = entries.filter((entry): entry is [string, string] => entry[1] !== undefined);
  const width = Math.max(0, ...known.map(([name]) => name.length));
  return known.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n');
}
