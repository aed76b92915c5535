/**
 * One run of the program, from arguments to exit code.
 *
 *   parse ──fault──────────────────────────────► error told, 2
 *     └─ page of the manual ───────────────────► 0
 *     └─ command.run(session) ─────────────────► its code
 *             │ SIGINT, SIGTERM, --timeout: session.signal
 *             ├─ command that undoes: ends by itself, then the error of the signal
 *             └─ any other: left where it stands
 *
 * A second signal ends the process at once; what was begun is then left to leases and to `stillwire down`.
 */
import { EXIT, StillwireError } from '../errors/index.js';
import type { Command } from './command.js';
import { COMMANDS } from './commands.js';
import { parseArguments, type Invocation } from './parse.js';
import { json, SCHEMA_VERSION, Session, type Surroundings } from './session.js';
import { Channel } from './terminal.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Runs a command line, arguments without node and program. Never throws; resolves when all output is written. */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  let parsed: Invocation | string;
  try {
    parsed = parseArguments(COMMANDS, args);
  } catch (error) {
    const asJson = args.includes('--json') || process.env['STILLWIRE_JSON'] !== undefined;
    return tell(new Channel(surroundings.stderr, false), StillwireError.from(error), { json: asJson });
  }
  if (typeof parsed === 'string') {
    await new Channel(surroundings.stdout, false).line(parsed);
    return EXIT.ok;
  }
  const session = new Session(surroundings, parsed.globals);
  try {
    return await interruptibly(session, parsed);
  } catch (error) {
    session.progress.end();
    return await tell(session.err, causeOf(error, session.signal), session.flags);
  } finally {
    session.close();
  }
}

async function interruptibly(session: Session, { command, operands, flags }: Invocation): Promise<number> {
  let received = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (++received > 1) process.exit(EXIT.interrupted);
    session.interrupt(signal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    const work = command.run(session, operands, flags);
    return (await (isUndoing(command) ? work : Promise.race([work, aborted(session.signal)]))) ?? EXIT.ok;
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

const isUndoing = (command: Command): boolean => command.undoes === true;

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as StillwireError), { once: true });
  });

/** Whatever an abort made fail, the abort is the cause to tell. */
function causeOf(error: unknown, signal: AbortSignal): StillwireError {
  const isAbort = error instanceof Error && error.name === 'AbortError';
  if (signal.aborted && (isAbort || StillwireError.from(error).code === 'INTERRUPTED')) {
    return StillwireError.from(signal.reason);
  }
  return StillwireError.from(error);
}

/** @returns the error's exit code */
async function tell(
  err: Channel,
  error: StillwireError,
  { json: asJson, verbose }: { readonly json?: boolean; readonly verbose?: boolean },
): Promise<number> {
  if (asJson) {
    await err.write(`${json({ schemaVersion: SCHEMA_VERSION, error })}\n`);
    return error.exitCode;
  }
  await err.line(`${err.paint('bad', 'stillwire:')} ${error.message}`);
  await err.line(err.paint('dim', `  ${error.next} (${error.code})`));
  if (verbose)
    for (let at: unknown = error; at instanceof Error; at = at.cause) await err.line(at.stack ?? '');
  return error.exitCode;
}
