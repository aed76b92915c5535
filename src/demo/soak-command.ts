/** `npm run soak`: the command around the soak. Progress goes to stderr, the account to stdout. */
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { StillwireError } from '../errors/index.js';
import { runProgram } from '../network/index.js';
import { runSoak, type SoakAccount, type SoakOptions } from './soak.js';
import { isFaultless } from './tally.js';

const OPTIONS = {
  checkpoints: { type: 'string', default: '100' },
  restarts: { type: 'string', default: '20' },
  guests: { type: 'string', default: '2' },
  'udp-rate': { type: 'string', default: '500' },
  'tcp-rate': { type: 'string', default: '250k' },
  seed: { type: 'string' },
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
  const parse = (): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] => {
    try {
      return parseArgs({ args: [...args], options: OPTIONS }).values;
    } catch (error) {
      return usage((error as Error).message);
    }
  };
  const values = parse();
  return {
    checkpoints: whole('checkpoints', values.checkpoints, 0, 1_000_000),
    restarts: whole('restarts', values.restarts, 0, 1_000_000),
    guests: whole('guests', values.guests, 2, 9),
    udpRate: whole('udp-rate', values['udp-rate'], 1, 100_000),
    tcpRate: values['tcp-rate'],
    seed: whole('seed', values.seed ?? String(Date.now() % 2 ** 32), 0, 2 ** 32 - 1),
    json: values.json,
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
    for (const fault of account.tally.faults) say(`FAILED: ${fault}`);
    process.stdout.write(`${json ? JSON.stringify(documentOf(account)) : describe(account)}\n`);
    return isFaultless(account.tally) && account.unproven === 0 ? 0 : 1;
  } catch (error) {
    const failure = StillwireError.from(stop.signal.aborted ? stop.signal.reason : error);
    say(`soak: ${failure.message}\n${failure.next}`);
    return failure.exitCode;
  }
}

function documentOf({ checkpoints, restarts, inFlightFrames, unproven, tally }: SoakAccount): object {
  const { lost, duplicated, reordered } = tally.udp;
  const { intact, realRetransmits } = tally.tcp;
  return {
    ...{ checkpoints, restarts, inFlightFrames, lost, duplicated, reordered },
    ...{ tcpIntact: intact, realRetransmits, unproven },
  };
}

function spread(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const [least, median, most] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)];
  if (least === undefined || median === undefined || most === undefined) return '-';
  return `median ${median.toFixed(0)} ms, ${least.toFixed(0)} to ${most.toFixed(0)} ms`;
}

function describe(account: SoakAccount): string {
  const { checkpoints, restarts, inFlightFrames, unproven, pausesMs, restartsMs } = account;
  const { udp, tcp } = account.tally;
  const rows: [string, string][] = [
    ['checkpoints', `${checkpoints} in place, ${restarts} with kill and restart; ${unproven} not proven`],
    ['in flight', `${inFlightFrames} frames in all`],
    ['UDP', `${udp.sent} sent, ${udp.lost} lost, ${udp.duplicated} duplicated, ${udp.reordered} reordered`],
    [
      'TCP',
      `${tcp.bytes} bytes, ${tcp.intact ? 'intact' : 'NOT INTACT'}, ${tcp.realRetransmits} real retransmits`,
    ],
    ['pause', spread(pausesMs)],
    ['restart', spread(restartsMs)],
  ];
  return rows.map(([name, value]) => `${name.padEnd(11)}  ${value}`).join('\n');
}
