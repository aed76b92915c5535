// @ts-check
/**
 * Puts the figures of a run into docs/performance.md, each part of it between marks of its own, and draws the charts
 * beside it. What a run has not measured stays as it was.
 *
 *   npm run bench -- --write-docs            measures and writes
 *   node bench/write-docs.mjs FIGURES.json   only writes: from docs/performance/*.json, which earlier runs have left
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { bound, describeMachineInWords, figure, rounded, spread, verdict } from '../dist/bench/report.js';
import {
  SAVING_HEAD,
  SAVING_MS,
  savingCells,
  savingConditions,
  savingNotes,
} from '../dist/bench/saving/saving-report.js';
import { drawCarriers, drawRows } from './chart.mjs';

/** @typedef {import('../dist/bench/report.js').RunDocument} Run */
/** @typedef {import('../dist/bench/saving/saving-report.js').SavingDocument} Saving */

const docs = fileURLToPath(new URL('../docs/', import.meta.url));
const page = `${docs}performance.md`;
const SAVING = 'saving';

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
const machine = (run) => describeMachineInWords(run).map((line) => `${line}  `);

/** The data plane, by one engine: its table, its charts, what was measured how. @param {Run} run */
function plane(run) {
  return [
    ...machine(run),
    '',
    ...table(run),
    '',
    `![What each carrier reached](performance/${run.engine}-carriers.svg)`,
    '',
    `![Every row by how far it is from its floor](performance/${run.engine}-rows.svg)`,
    '',
    'Conditions:',
    '',
    ...conditions(run),
    ...run.missing.map(({ name, why }) => `- not measured: ${name}: ${why}`),
  ].join('\n');
}

/** What saving guests costs. @param {Run} run @param {Saving} saving */
function savingGuests(run, saving) {
  const head = SAVING_HEAD.map((word) => (SAVING_MS.includes(word) ? `${word}, ms` : word));
  const cells = [head, head.map(() => '---'), ...saving.rows.map(savingCells)];
  const notes = savingNotes(saving).map((note) => `- ${note}`);
  return [
    ...machine(run),
    `${savingConditions(saving)}  `,
    '',
    ...cells.map((line) => `| ${line.join(' | ')} |`),
    '',
    ...notes,
  ].join('\n');
}

/** @param {string} path @param {string} text */
async function writeFormatted(path, text) {
  writeFileSync(path, await format(text, { ...(await resolveConfig(path)), filepath: path }));
}

/** The page with another text between the marks of one of its parts. @param {string} name @param {string} text */
async function fill(name, text) {
  const begin = `<!-- ${name}: written by bench/write-docs.mjs -->`;
  const end = `<!-- end of ${name} -->`;
  const [before, rest] = readFileSync(page, 'utf8').split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`${page} has lost its marks of ${name}`);
  await writeFormatted(page, `${before}${begin}\n\n${text}\n\n${end}${after}`);
}

/** Writes page, charts and figures. @param {string} figures a file that `--figures` has written */
export async function writeDocs(figures) {
  const run = /** @type {Run} */ (JSON.parse(readFileSync(figures, 'utf8')));
  const { saving, ...measured } = run;
  const beside = `${docs}performance/`;
  mkdirSync(beside, { recursive: true });
  if (run.rows.length > 0) {
    await writeFormatted(`${beside}${run.engine}.json`, JSON.stringify(measured)); // first: what was measured is not lost
    await fill(run.engine, plane(run));
    writeFileSync(`${beside}${run.engine}-carriers.svg`, drawCarriers(run));
    writeFileSync(`${beside}${run.engine}-rows.svg`, drawRows(run));
  }
  if (saving !== undefined) {
    await writeFormatted(`${beside}${SAVING}.json`, JSON.stringify({ ...run, rows: [], missing: [] }));
    await fill(SAVING, savingGuests(run, saving));
  }
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  if (argv[2] === undefined)
    throw new Error('which figures? A file that --figures or an earlier run has written');
  await writeDocs(argv[2]);
}
