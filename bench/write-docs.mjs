// @ts-check
/**
 * Puts the figures of a run into docs/performance.md, between its two marks, and draws the charts beside it.
 *
 *   npm run bench -- --write-docs             measures and writes
 *   node bench/write-docs.mjs [FIGURES.json]  only writes: from docs/performance/figures.json, which the last run left
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { bound, describeMachineInWords, figure, rounded, spread, verdict } from '../dist/bench/report.js';
import { drawCarriers, drawRows } from './chart.mjs';

/** @typedef {import('../dist/bench/report.js').RunDocument} Run */

const docs = fileURLToPath(new URL('../docs/', import.meta.url));
const page = `${docs}performance.md`;
/** What the charts and the page were made from, kept with them. */
export const FIGURES = `${docs}performance/figures.json`;
const BEGIN = '<!-- figures: written by bench/write-docs.mjs -->';
const END = '<!-- end of figures -->';

/** @param {Run} run */
function table({ rows }) {
  const head = ['measured', 'against', 'ratio', 'spread', 'floor', 'goal', 'reached', 'Stillwire', 'peer'];
  const cells = rows.map((row) => [
    row.name,
    row.peer,
    `**${rounded(row.ratio)}**`,
    spread(row.spread),
    bound(row.less, row.floor),
    bound(row.less, row.goal),
    { MISSED: '**no**', floor: 'floor', goal: 'goal' }[verdict(row)],
    figure(row.unit, row.ours),
    row.theirs === undefined ? '' : figure(row.unit, row.theirs),
  ]);
  return [head, head.map(() => '---'), ...cells].map((line) => `| ${line.join(' | ')} |`);
}

/** Each carrier's ports, offloads and MTU, and each pinning with its rows. @param {Run} run */
function conditions({ rows }) {
  const sides = rows.flatMap(({ ours, theirs }) => (theirs === undefined ? [ours] : [ours, theirs]));
  const carriers = new Set(sides.map((side) => `- ${side.carrier}: ${side.conditions}`));
  /** @type {Map<string, string[]>} */
  const pinned = new Map();
  for (const { name, pinning } of rows) pinned.set(pinning, [...(pinned.get(pinning) ?? []), name]);
  const usual = [...pinned].sort(([, a], [, b]) => b.length - a.length);
  return [
    ...carriers,
    ...usual.map(
      ([pinning, own], i) => `- ${pinning}: ${i === 0 ? 'every row not named here' : own.join('; ')}`,
    ),
  ];
}

/** @param {Run} run */
function section(run) {
  return [
    ...describeMachineInWords(run).map((line) => `${line}  `),
    '',
    ...table(run),
    '',
    '![What each carrier reached](performance/carriers.svg)',
    '',
    '![Every row by how far it is from its floor](performance/rows.svg)',
    '',
    'Conditions:',
    '',
    ...conditions(run),
    ...run.missing.map(({ name, why }) => `- not measured: ${name}: ${why}`),
  ].join('\n');
}

/** @param {string} path @param {string} text */
async function writeFormatted(path, text) {
  writeFileSync(path, await format(text, { ...(await resolveConfig(path)), filepath: path }));
}

/** Writes page, charts and figures. @param {string} figures a file that `--figures` has written */
export async function writeDocs(figures) {
  const text = readFileSync(figures, 'utf8');
  const run = /** @type {Run} */ (JSON.parse(text));
  const old = readFileSync(page, 'utf8');
  const [before, rest] = old.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`${page} has lost its marks`);
  mkdirSync(`${docs}performance`, { recursive: true });
  await writeFormatted(page, `${before}${BEGIN}\n\n${section(run)}\n\n${END}${after}`);
  await writeFormatted(FIGURES, text);
  writeFileSync(`${docs}performance/carriers.svg`, drawCarriers(run));
  writeFileSync(`${docs}performance/rows.svg`, drawRows(run));
}

if (argv[1] === fileURLToPath(import.meta.url)) await writeDocs(argv[2] ?? FIGURES);
