/** Starting a daemon that outlives its starter. SIGNATURE FIRST, body follows. */
import type { Job, ReadyReport, StartEvent } from './job.js';

export interface LaunchOptions {
  readonly onEvent?: (event: StartEvent) => void;
  /** Aborting before the daemon is ready ends the start, which leaves nothing. */
  readonly signal?: AbortSignal;
}

/** Resolves when the daemon is ready, with its report; rejects with the daemon's StillwireError. */
export function launchDaemon<J extends Job>(_job: J, _options: LaunchOptions = {}): Promise<ReadyReport<J>> {
  return Promise.reject(new Error('being written'));
}
