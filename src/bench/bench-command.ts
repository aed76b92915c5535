/**
 * `npm run bench`: the data plane against its peers. bench/README.md tells how it is measured and what the rows mean.
 *
 *   npm run bench -- [--quick] [--json] [--engine NAME] [--only TRIALS] [--rounds N] [--pin S,R,C] [--figures FILE]
 *                    [--forked-dmtcp DIR]
 */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ERRORS, EXIT, StillwireError } from '../errors/index.js';
import { placementOf } from './placement.js';
import { describeRun, plainRow } from './report.js';
import { PLANE, runBench, TRIALS, type RunOptions, type TrialName } from './run.js';

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  engine: { type: 'string' },
  only: { type: 'string', default: PLANE.join(',') },
  rounds: { type: 'string' },
  pin: { type: 'string', default: '0,1,1' },
  figures: { type: 'string' },
  'forked-dmtcp': { type: 'string' },
} as const;

/** Long enough for ticks of 10 ms not to matter. */
const FULL = { rounds: 7, ms: 2000, holds: 200 };
/** Within three minutes, set-up included. */
const QUICK = { rounds: 3, ms: 700, holds: 100 };

type Settings = Omit<RunOptions, 'signal' | 'onProgress'> & {
  readonly json: boolean;
  readonly figures: string | undefined;
};

/** @throws StillwireError USAGE */
function settingsOf(args: readonly string[]): Settings {
  const usage = (words: string): never => {
    throw new StillwireError('USAGE', words);
  };
  const parse = (): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] => {
    try {
      return parseArgs({ args: [...args], options: OPTIONS }).values;
    } catch (error) {
      return usage((error as Error).message);
    }
  };
  const { quick, json, engine, only, rounds, pin, figures, 'forked-dmtcp': forkedDmtcp } = parse();
  const lengths = quick ? QUICK : FULL;
  const words = only.split(',');
  const chosen = TRIALS.filter((name) => words.includes(name));
  if (chosen.length !== words.length) usage(`--only: some of ${TRIALS.join(',')} are expected`);
  if (rounds !== undefined && !/^[1-9]\d{0,3}$/.test(rounds)) usage('--rounds: a whole number is expected');
  return {
    ...lengths,
    ...(rounds === undefined ? {} : { rounds: Number(rounds) }),
    ...(engine === undefined ? {} : { engine }),
    ...(forkedDmtcp === undefined ? {} : { forkedDmtcp: resolve(forkedDmtcp) }),
    only: chosen satisfies readonly TrialName[],
    placement: placementOf(pin),
    json,
    figures,
  };
}

/** @returns the exit code: 0 when everything was measured, whether floors were reached or not; else that of the error */
export async function benchCommand(args: readonly string[]): Promise<number> {
  const ending = new AbortController();
  const interrupt = (): void => ending.abort(new StillwireError('INTERRUPTED', 'interrupted'));
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    const { json, figures, ...settings } = settingsOf(args);
    process.env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
    if (settings.engine !== undefined) process.env['STILLWIRE_ENGINE'] = settings.engine;
    const onProgress = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
    const run = await runBench({ ...settings, signal: ending.signal, onProgress });
    if (figures !== undefined) await writeFile(figures, JSON.stringify(run));
    if (!json) process.stdout.write(`${describeRun(run)}\n`);
    else {
      for (const { name, why } of run.missing) onProgress(`not measured: ${name}: ${why}`);
      process.stdout.write(`${JSON.stringify(run.rows.map(plainRow), undefined, 1)}\n`);
    }
    return 0;
  } catch (error) {
    const { code, message } = StillwireError.from(error);
    process.stderr.write(`bench: ${code}: ${message}\n`);
    return EXIT[ERRORS[code].exit];
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}
