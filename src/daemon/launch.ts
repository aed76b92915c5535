/**
 * Starting a daemon that outlives its starter: a process of its own session, with nothing of ours but one socket, its
 * descriptor 3 (main.ts). An end of our side before it is ready, even by SIGKILL, makes it give up and clean up.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { StillwireError } from '../errors/index.js';
import { keepInheritedFds } from '../sys/index.js';
import type { Job, ReadyReport, StartEvent } from './job.js';
import { linesOf } from './lines.js';

/** One line on descriptor 3. */
export type StartMessage =
  | StartEvent
  | { readonly event: 'ready'; readonly report: ReadyReport }
  | { readonly event: 'failed'; readonly error: unknown };

export interface LaunchOptions {
  readonly onEvent?: (event: StartEvent) => void;
  /** Aborting before the daemon is ready ends the start; the promise rejects once nothing is left. */
  readonly signal?: AbortSignal;
}

/**
 * Launches a daemon; resolves when its network is up and answers.
 * @throws StillwireError what the daemon's start raised; INTERRUPTED after an abort; INTERNAL when it said nothing
 */
export async function launchDaemon<J extends Job>(
  job: J,
  options: LaunchOptions = {},
): Promise<ReadyReport<J>> {
  const { signal, onEvent } = options;
  signal?.throwIfAborted();
  keepInheritedFds();
  const child = spawn(process.execPath, [fileURLToPath(new URL('./main.js', import.meta.url))], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const ended = endOf(child);
  const socket = child.stdio[3] as Duplex;
  socket.on('error', () => undefined); // the end of the child tells more
  const giveUp = (): void => void child.kill('SIGTERM');
  signal?.addEventListener('abort', giveUp);
  try {
    socket.write(`${JSON.stringify(job)}\n`);
    const report = await readyReport(socket, onEvent);
    if (signal?.aborted === true) throw new StillwireError('INTERRUPTED', 'the start was interrupted');
    if (report !== undefined) return report as ReadyReport<J>; // the report of the job it was given
    throw new StillwireError('INTERNAL', `the daemon ended before it was ready: ${await ended}`);
  } catch (error) {
    await ended; // having undone what it had begun
    throw error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
    socket.destroy();
    child.unref();
  }
}

/** Undefined when the daemon ended without a word. */
async function readyReport(
  socket: Duplex,
  onEvent: LaunchOptions['onEvent'],
): Promise<ReadyReport | undefined> {
  for await (const line of linesOf(socket)) {
    const message = JSON.parse(line) as StartMessage;
    if (message.event === 'ready') return message.report;
    if (message.event === 'failed') throw StillwireError.fromJSON(message.error as object);
    onEvent?.(message);
  }
  return undefined;
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code ?? '?'}`));
  });
}
