// @ts-check
/**
 * Draws the figures of a run as SVG: `carriers` (what each carrier reached, by metric) and `rows` (every row by how far it
 * is from its floor). Nothing but text is made; bench/write-docs.mjs puts it into files.
 *
 *   node bench/chart.mjs FIGURES.json DIRECTORY      draws them by hand, from what `--figures FILE` wrote
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

/** @typedef {import('../dist/bench/report.js').RunDocument} Run */
/** @typedef {import('../dist/bench/row.js').MeasuredRow} Row */
/** @typedef {{ label: string, low: number, mid: number, high: number }} Bar */

const WIDTH = 760;
const LINE = 22;
const LABELS = 270;
const INK = '#24292f';
const FAINT = '#d0d7de';
const OURS = '#0b7285';
const THEIRS = '#868e96';
const BELOW = '#c92a2a';

const PANELS = [
  { metric: 'bulk TCP', unit: 'Gbit/s, more is better', scale: 1e9 },
  { metric: '64-byte frames per second', unit: 'thousands a second, more is better', scale: 1e3 },
  { metric: 'request/response p50', unit: 'µs, less is better', scale: 1 },
  { metric: 'CPU per frame', unit: 'ns, less is better', scale: 1 },
];

/** @param {string} text */
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** @param {number} x @param {number} y @param {string} words @param {string} [more] */
const text = (x, y, words, more = '') => `<text x="${x}" y="${y}" ${more}>${escape(words)}</text>`;

/** @param {number} x @param {number} y @param {number} width @param {number} height @param {string} fill */
const box = (x, y, width, height, fill) =>
  `<rect x="${at(x)}" y="${at(y)}" width="${at(width)}" height="${height}" fill="${fill}"/>`;

/** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 @param {string} stroke @param {number} width */
const line = (x1, y1, x2, y2, stroke, width = 1) =>
  `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="${stroke}" stroke-width="${width}"/>`;

/** A coordinate with one decimal. @param {number} value */
const at = (value) => Number(value.toFixed(1));

/** Three digits, or all before the point. @param {number} value */
const readable = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** @param {number} height @param {string} title @param {string[]} parts */
const picture = (height, title, parts) =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(title)}"`,
    `  font-family="system-ui, sans-serif" font-size="13" fill="${INK}">`,
    box(0, 0, WIDTH, height, '#ffffff'),
    ...parts,
    '</svg>\n',
  ].join('\n');

/** @param {readonly number[]} figures @returns {Omit<Bar, 'label'>} */
function summary(figures) {
  const sorted = [...figures].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const mid = ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
  return { low: sorted[0] ?? 0, mid, high: sorted.at(-1) ?? 0 };
}

/** Each carrier once, in the order of the rows. @param {Run} run @param {string} metric @returns {Bar[]} */
function carriersOf(run, metric) {
  const sides = run.rows
    .filter(
      ({ name, theirs }) => theirs !== undefined && /^(packet|TAP fd)$/.test(name.slice(metric.length + 2)),
    )
    .filter(({ name }) => name.startsWith(`${metric}, `))
    .flatMap(({ ours, theirs }) => (theirs === undefined ? [ours] : [ours, theirs]));
  const found = new Map(sides.map(({ carrier, figures }) => [carrier, figures]));
  const bars = [...found].map(([label, figures]) => ({ label, ...summary(figures) }));
  const isOurs = (/** @type {Bar} */ { label }) => label.startsWith('Stillwire');
  return [...bars.filter(isOurs), ...bars.filter((bar) => !isOurs(bar))];
}

/** Medians as bars, least and greatest round as whiskers. @param {Run} run */
export function drawCarriers(run) {
  const parts = [];
  let y = 8;
  for (const { metric, unit, scale } of PANELS) {
    const bars = carriersOf(run, metric);
    if (bars.length === 0) continue;
    const most = Math.max(...bars.map(({ high }) => high));
    const x = (/** @type {number} */ value) => LABELS + (value / most) * (WIDTH - LABELS - 80);
    y += LINE;
    parts.push(text(12, y, metric, 'font-weight="600"'), text(LABELS, y, unit, 'fill="#57606a"'));
    for (const { label, low, mid, high } of bars) {
      y += LINE;
      const middle = y - 5;
      parts.push(
        text(24, y, label),
        box(LABELS, y - 14, x(mid) - LABELS, LINE - 6, label.startsWith('Stillwire') ? OURS : THEIRS),
        line(x(low), middle, x(high), middle, INK, 1.5),
        text(at(x(high) + 6), y, readable(mid / scale)),
      );
    }
    y += LINE / 2;
  }
  return picture(y + 8, 'What each carrier reached', parts);
}

/** How far a row is from its floor: 1 is the floor, more is better. @param {Row} row @param {number} value */
const reach = ({ less, floor }, value) => (less ? floor / value : value / floor);

/** Rows as dots with their spread, on a logarithmic scale where 1 is the floor. @param {Run} run */
export function drawRows(run) {
  const { rows } = run;
  const left = 330;
  const values = rows.flatMap((row) => [...row.spread, row.goal].map((value) => reach(row, value)));
  const low = Math.log(Math.min(0.5, ...values));
  const high = Math.log(Math.max(2, ...values));
  const x = (/** @type {number} */ value) =>
    left + ((Math.log(value) - low) / (high - low)) * (WIDTH - left - 16);
  const bottom = 40 + rows.length * LINE;
  const marks = [0.1, 0.25, 0.5, 1, 2, 4, 10].filter(
    (mark) => Math.log(mark) >= low && Math.log(mark) <= high,
  );
  const parts = [
    text(12, 22, 'each row by its floor: 1 is the floor, | the goal, right is better', 'font-weight="600"'),
    ...marks.flatMap((mark) => [
      line(x(mark), 34, x(mark), bottom, mark === 1 ? INK : FAINT),
      text(at(x(mark)), bottom + 16, String(mark), 'text-anchor="middle" fill="#57606a"'),
    ]),
    ...rows.flatMap((row, i) => {
      const y = 50 + i * LINE;
      const colour = row.met ? OURS : BELOW;
      const goal = x(reach(row, row.goal));
      return [
        text(12, y + 4, row.theirs === undefined ? row.name : `${row.name} / ${row.peer}`, 'font-size="11"'),
        line(x(reach(row, row.spread[0])), y, x(reach(row, row.spread[1])), y, colour, 2),
        line(goal, y - 7, goal, y + 7, INK, 1.5),
        `<circle cx="${at(x(reach(row, row.ratio)))}" cy="${y}" r="5" fill="${colour}"/>`,
      ];
    }),
  ];
  return picture(bottom + 26, 'Every row by how far it is from its floor', parts);
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const [, , figures = '', directory = '.'] = argv;
  const run = JSON.parse(readFileSync(figures, 'utf8'));
  writeFileSync(join(directory, 'carriers.svg'), drawCarriers(run));
  writeFileSync(join(directory, 'rows.svg'), drawRows(run));
}
