/** The network a job asks for, brought to life in its claimed place. */
import { LiveNetwork, restart, restore } from '../checkpoint/index.js';
import { DEFAULT_RESTORE_LEASE_MS } from '../checkpoint/restart.js';
import type { Hold } from '../network/index.js';
import type { Claim } from './claim.js';
import type { Faults } from './faults.js';
import type { Job, ReadyReport, StartEvent } from './job.js';
import { FileJournal } from './journal.js';
import { takeUp } from './recover.js';

export interface Brought {
  readonly live: LiveNetwork;
  /** Of a restored network, which is held. */
  readonly hold?: Hold;
  readonly report: ReadyReport;
}

export interface Bringing {
  readonly claim: Claim;
  readonly faults: Faults;
  readonly signal: AbortSignal;
  readonly onEvent: (event: StartEvent) => void;
  /** All guests are there, and those of a restart do not run yet. */
  readonly onLoaded: (live: LiveNetwork) => void;
}

/** A failure, or an abort of the signal before the network is there, leaves nothing, or what was there before. */
export async function bring(job: Job, how: Bringing): Promise<Brought> {
  const brought = await begin(job, how);
  try {
    how.signal.throwIfAborted();
    return brought;
  } catch (error) {
    await (how.claim.keeps ? brought.live.leave() : brought.live.close());
    throw error;
  }
}

async function begin(job: Job, how: Bringing): Promise<Brought> {
  const { claim, faults, signal, onEvent, onLoaded } = how;
  const { directory: runDirectory, held: holdFile } = claim.paths;
  if (job.kind === 'up') {
    if (claim.remains !== undefined) {
      const { live, report: reattached } = await takeUp(claim, claim.remains, how);
      return { live, report: { ...(await live.status()), reattached } };
    }
    const onProgress = (step: string): void => onEvent({ event: 'progress', step });
    const live = await LiveNetwork.up(job.definition, { runDirectory, holdFile, signal, onProgress });
    onLoaded(live);
    return { live, report: await live.status() };
  }
  const { directory, as } = job;
  const onPhase = (phase: string, ms: number): void => onEvent({ event: 'phase', phase, ms });
  const common = { directory, runDirectory, holdFile, signal, onPhase, ...(as === undefined ? {} : { as }) };
  if (job.kind === 'restart') {
    const { forceDisks = false, startedAtMs = Date.now() } = job;
    const journal = new FileJournal(claim.paths.journal, claim.network);
    const beforePhase = faults.of('restart');
    return restart({ ...common, forceDisks, startedAtMs, journal, beforePhase, onLoaded });
  }
  const { leaseMs = DEFAULT_RESTORE_LEASE_MS } = job;
  const { live, hold, report } = await restore({ ...common, leaseMs });
  onLoaded(live);
  return { live, hold, report: { ...report, token: hold.token, leaseMs } };
}
