/** The network a job asks for, brought to life in its claimed place. */
import { LiveNetwork, restart, restore } from '../checkpoint/index.js';
import { DEFAULT_RESTORE_LEASE_MS } from '../checkpoint/restart.js';
import type { Hold } from '../network/index.js';
import type { Claim } from './claim.js';
import type { Job, ReadyReport, StartEvent } from './job.js';

export interface Brought {
  readonly live: LiveNetwork;
  /** Of a restored network, which is held. */
  readonly hold?: Hold;
  readonly report: ReadyReport;
}

/** A failure, or an abort of the signal before the network is there, leaves nothing. */
export async function bring(
  job: Job,
  claim: Claim,
  signal: AbortSignal,
  onEvent: (event: StartEvent) => void,
): Promise<Brought> {
  const brought = await begin(job, claim.paths.directory, signal, onEvent);
  try {
    signal.throwIfAborted();
    return brought;
  } catch (error) {
    await brought.live.close();
    throw error;
  }
}

async function begin(
  job: Job,
  runDirectory: string,
  signal: AbortSignal,
  onEvent: (event: StartEvent) => void,
): Promise<Brought> {
  if (job.kind === 'up') {
    const onProgress = (step: string): void => onEvent({ event: 'progress', step });
    const live = await LiveNetwork.up(job.definition, { runDirectory, signal, onProgress });
    return { live, report: await live.status() };
  }
  const { directory, as } = job;
  const onPhase = (phase: string, ms: number): void => onEvent({ event: 'phase', phase, ms });
  const common = { directory, runDirectory, signal, onPhase, ...(as === undefined ? {} : { as }) };
  if (job.kind === 'restart') {
    const { forceDisks = false, startedAtMs = Date.now() } = job;
    return restart({ ...common, forceDisks, startedAtMs });
  }
  const { leaseMs = DEFAULT_RESTORE_LEASE_MS } = job;
  const { live, hold, report } = await restore({ ...common, leaseMs });
  return { live, hold, report: { ...report, token: hold.token, leaseMs } };
}
