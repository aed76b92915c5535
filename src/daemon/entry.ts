/** SIGNATURE FIRST, body follows. */
import type { Job, ReadyReport, StartEvent } from './job.js';

export interface DaemonHooks<J extends Job = Job> {
  readonly onEvent?: (event: StartEvent) => void;
  /** The network is up and answers. */
  readonly onReady?: (report: ReadyReport<J>) => void;
  /** Ends the network, like SIGTERM, SIGINT and SIGHUP, which this installs handlers for. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a network in this process. Resolves when it has ended and nothing is left of it; before it was ready an end by
 * signal rejects with INTERRUPTED.
 */
export function runDaemon<J extends Job>(_job: J, _hooks: DaemonHooks<J> = {}): Promise<void> {
  return Promise.reject(new Error('being written'));
}
