/**
 * `hold -- CMD`: the bare quiesce around a command that saves the machines itself.
 *
 *   hold (leased) ─ drained ─ CMD runs: stops machines, `stillwire mark`, saves, resumes ─ release
 *                              └ every third of the lease it is renewed
 *
 * A lease that ends all the same (the daemon was away, a queue ran over) has let the network flow: CMD is not stopped,
 * since it may have machines of its own to bring back, but the hold fails. If this process dies, the lease ends.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { DaemonClient, HoldGrant } from '../daemon/index.js';
import { StillwireError } from '../errors/index.js';
import { defineCommand } from './command.js';
import { milliseconds } from './format.js';
import { option, parseDuration, quiesceOf, quiesceOptions, type QuiesceFlags } from './options.js';
import type { Session } from './session.js';

interface HoldFlags extends QuiesceFlags {
  readonly lease?: number;
}

/** What the command's own `stillwire mark` finds its hold by. */
const holdEnvironment = (network: string, { token }: HoldGrant): NodeJS.ProcessEnv => ({
  ...process.env,
  STILLWIRE_NETWORK: network,
  STILLWIRE_HOLD: token,
});

/** Runs a program on our own terminal. @returns its exit code, 128+n after signal n @throws StillwireError MISSING_PROGRAM */
function runCommand(
  [program = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', env });
    const onAbort = (): void => void child.kill('SIGTERM');
    signal.addEventListener('abort', onAbort, { once: true });
    child.once('error', (error) => {
      signal.removeEventListener('abort', onAbort);
      reject(
        new StillwireError('MISSING_PROGRAM', `cannot run ${program}: ${error.message}`, { program }, error),
      );
    });
    child.once('exit', (code, by) => {
      signal.removeEventListener('abort', onAbort);
      resolve(code ?? 128 + constants.signals[by ?? 'SIGKILL']);
    });
  });
}

/** Renews the lease until stopped; tells once when it cannot be renewed any more. */
function keepRenewed(
  client: DaemonClient,
  { token, leaseMs }: HoldGrant,
  onLost: (error: StillwireError) => void,
): () => void {
  const timer = setInterval(() => {
    client.renew(token, leaseMs).catch((error: unknown) => {
      clearInterval(timer);
      onLost(StillwireError.from(error));
    });
  }, leaseMs / 3);
  return () => clearInterval(timer);
}

/** Holds the network around a command. @returns the command's exit code @throws StillwireError HOLD_EXPIRED */
export async function holdAround(
  session: Session,
  command: readonly string[],
  { lease, ...quiesce }: HoldFlags,
): Promise<number> {
  const client = await session.connect();
  const grant = await client.hold(
    { ...quiesceOf(quiesce), ...(lease !== undefined && { leaseMs: lease }) },
    session.signal,
  );
  let lost: StillwireError | undefined;
  const stop = keepRenewed(client, grant, (error) => (lost ??= error));
  let code: number;
  try {
    await session.say(`${client.network} is held, drained in ${milliseconds(grant.drainMs)}`);
    code = await runCommand(command, holdEnvironment(client.network, grant), session.signal);
  } finally {
    stop();
    const released = await client.release(grant.token).catch((error: unknown) => {
      lost ??= StillwireError.from(error);
    });
    if (released) await session.say(`released after ${milliseconds(released.heldMs)}`);
  }
  session.signal.throwIfAborted();
  if (lost === undefined) return code;
  if (code === 0) throw lost;
  await session.say(`the hold was lost meanwhile: ${lost.message}`);
  return code;
}

export const hold = defineCommand<HoldFlags>({
  usage: 'hold [command...]',
  group: 'quiesce',
  summary: 'hold the network while a command runs: stillwire hold -- CMD',
  description: `stillwire hold [options] -- CMD [ARGUMENTS]

Delivers nothing while CMD runs; CMD stops and saves machines of its own and calls \`stillwire mark NAME\` between the
two to write the frames that were in flight. CMD finds STILLWIRE_NETWORK and STILLWIRE_HOLD in its environment and has
stdout to itself. The exit code is CMD's.`,
  options: [
    option(
      '--lease <duration>',
      'how long the hold outlives a lost `stillwire hold` (default 5s); renewed while CMD runs',
      parseDuration,
    ),
    ...quiesceOptions(),
  ],
  undoes: true,
  async run(session, command, flags) {
    if (command.length === 0) {
      throw new StillwireError('USAGE', 'hold needs a command: stillwire hold -- CMD');
    }
    return holdAround(session, command, flags);
  },
});
