/**
 * `npm run soak`: the command around the soak. Progress goes to stderr, the account to stdout; bench/README.md tells
 * options and figures.
 */
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { StillwireError } from '../errors/index.js';
import { runProgram } from '../network/index.js';
import { QUIESCE_METHODS } from '../quiesce/index.js';
import { MIXED_GUESTS_MAX, MIXED_LOAD, PARTS } from './mixed-load.js';
import { describeSoak, soakReport } from './soak-report.js';
import { runSoak, type SoakOptions } from './soak.js';

const OPTIONS = {
  'in-place': { type: 'string' },
  kill: { type: 'string' },
  // Their names before there was more than one kind of each.
  checkpoints: { type: 'string' },
  restarts: { type: 'string' },
  guests: { type: 'string', default: '2' },
  methods: { type: 'string', default: QUIESCE_METHODS.join(',') },
  load: { type: 'string', default: PARTS.join(',') },
  'udp-rate': { type: 'string', default: String(MIXED_LOAD.udpRate) },
  'tcp-rate': { type: 'string', default: MIXED_LOAD.tcpRate },
  seed: { type: 'string' },
  seconds: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

type Settings = Omit<SoakOptions, 'directory' | 'signal' | 'onProgress'> & { readonly json: boolean };

/** @throws StillwireError USAGE */
function settingsOf(args: readonly string[]): Settings {
  const usage = (words: string): never => {
    throw new StillwireError('USAGE', words);
  };
  const whole = (option: string, text: string, least: number, most: number): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    return usage(`--${option}: a whole number, ${least} to ${most}, is expected`);
  };
  const some = <T extends string>(option: string, text: string, from: readonly T[], least: number): T[] => {
    const words = text.split(',').filter((word) => word !== '' && word !== 'none');
    const known = from.filter((each) => words.includes(each));
    if (known.length === words.length && known.length >= least) return known;
    return usage(`--${option}: some of ${from.join(',')} are expected`);
  };
  const parse = (): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] => {
    try {
      return parseArgs({ args: [...args], options: OPTIONS }).values;
    } catch (error) {
      return usage((error as Error).message);
    }
  };
  const values = parse();
  return {
    inPlace: whole('in-place', values['in-place'] ?? values.checkpoints ?? '100', 0, 1_000_000),
    kill: whole('kill', values.kill ?? values.restarts ?? '20', 0, 1_000_000),
    guests: whole('guests', values.guests, 2, MIXED_GUESTS_MAX),
    methods: some('methods', values.methods, QUIESCE_METHODS, 1),
    parts: some('load', values.load, PARTS, 0),
    udpRate: whole('udp-rate', values['udp-rate'], 1, 100_000),
    tcpRate: values['tcp-rate'],
    seed: whole('seed', values.seed ?? String(Date.now() % 2 ** 32), 0, 2 ** 32 - 1),
    json: values.json,
    ...(values.seconds === undefined ? {} : { seconds: whole('seconds', values.seconds, 1, 1_000_000) }),
  };
}

/** Runs `work` in a tmpfs of its own, which is gone afterwards. */
async function onTmpfs<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'stillwire-soak-'));
  await runProgram('mount', '-t', 'tmpfs', '-o', 'mode=0700', 'stillwire-soak', directory);
  try {
    return await work(directory);
  } finally {
    await runProgram('umount', directory);
    await rmdir(directory);
  }
}

/** @returns the exit code */
export async function soakCommand(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new StillwireError('INTERRUPTED', `interrupted by ${name}`)));
  }
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  try {
    const { json, ...settings } = settingsOf(args);
    say(`seed ${settings.seed}`);
    const account = await onTmpfs((directory) =>
      runSoak({ ...settings, directory, signal: stop.signal, onProgress: say }),
    );
    const report = soakReport(account, settings);
    for (const fault of report.faults) say(`FAILED: ${fault}`);
    process.stdout.write(`${json ? JSON.stringify(report) : describeSoak(report)}\n`);
    return report.ok ? 0 : 1;
  } catch (error) {
    const failure = StillwireError.from(stop.signal.aborted ? stop.signal.reason : error);
    say(`soak: ${failure.message}\n${failure.next}`);
    return failure.exitCode;
  }
}
