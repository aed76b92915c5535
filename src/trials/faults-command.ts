/**
 * `npm run faults`: the fault matrix, a row after the other, as a table on stdout. docs/faults.md tells what it shows.
 *
 *   npm run faults -- [--quick] [--only TEXT] [--json]
 */
import { parseArgs } from 'node:util';
import { StillwireError } from '../errors/index.js';
import { FaultBench } from './fault-bench.js';
import { allCases, nameOf, quickCases } from './fault-cases.js';
import { playCase, type Row } from './fault-case.js';

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  only: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

const line = ({ name, faults, outcome, seconds }: Row): string =>
  [faults.length === 0 ? 'ok ' : 'RED', name.padEnd(48), outcome.padEnd(20), `${seconds.toFixed(1)} s`].join(
    '  ',
  ) + faults.map((fault) => `\n     ${fault}`).join('');

/** @returns the exit code: 0 without a red row */
export async function faultsCommand(args: readonly string[]): Promise<number> {
  const { quick, only, json } = parseArgs({ args: [...args], options: OPTIONS }).values;
  const all = allCases();
  const chosen = (quick ? quickCases(all) : all).filter((row) => nameOf(row).includes(only ?? ''));
  if (chosen.length === 0) throw new StillwireError('USAGE', `no row has ${only ?? ''} in its name`);
  const print = (text: string): void => {
    (json ? process.stderr : process.stdout).write(`${text}\n`);
  };
  const ending = new AbortController();
  const interrupt = (): void => ending.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const rows: Row[] = [];
  const bench = await FaultBench.open();
  try {
    for (const row of chosen) {
      if (ending.signal.aborted) break;
      rows.push(await playCase(bench, row));
      print(line(rows.at(-1)!));
    }
  } finally {
    await bench.close();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
  const failed = rows.filter(({ faults }) => faults.length > 0);
  print(`${rows.length} of ${all.length} rows, ${failed.length} red`);
  if (json) process.stdout.write(`${JSON.stringify({ cases: rows.length, failed })}\n`);
  return failed.length === 0 && !ending.signal.aborted ? 0 : 1;
}
