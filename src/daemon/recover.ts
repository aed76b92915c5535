/**
 * `up` where a daemon was killed: its network is taken up again, or what it was finishing is finished.
 *
 *   checkpoint with --kill, image complete   its guests are ended and all is removed: it is as it would have been
 *   anything else that can be taken up       re-attached (checkpoint/reattach.ts); then the half image goes, the journal last
 *
 * Until the network answers again nothing that is found is given up, so a daemon that is killed at this can be followed
 * by another. What has been done by then shows in the state of the guests and in the hold file, not in the journal.
 */
import { rmSync } from 'node:fs';
import { reattach, type LiveNetwork } from '../checkpoint/index.js';
import { StillwireError } from '../errors/index.js';
import { readManifest } from '../image/index.js';
import type { Claim } from './claim.js';
import type { Faults } from './faults.js';
import type { Reattached, StartEvent } from './job.js';
import { FileJournal } from './journal.js';
import { isAttachable, toResume, type Remains } from './remains.js';
import { removeDrafts, removeRemains, staleError } from './stale.js';

export interface Recovery {
  readonly faults: Faults;
  readonly signal: AbortSignal;
  readonly onEvent: (event: StartEvent) => void;
}

const isWhole = (path: string): Promise<boolean> =>
  readManifest(path).then(
    () => true,
    () => false,
  );

/**
 * Takes up what the claim has found.
 * @throws StillwireError CHECKPOINT_COMPLETE when a checkpoint with --kill has been finished; NETWORK_STALE, and what
 *   {@link reattach} raises, with everything left as it was
 */
export async function takeUp(
  claim: Claim,
  remains: Remains,
  { faults, signal, onEvent }: Recovery,
): Promise<{ live: LiveNetwork; report: Reattached }> {
  const { paths, network } = claim;
  const { journal } = remains;
  if (
    typeof journal === 'object' &&
    journal.phase === 'killing' &&
    (await isWhole(journal.checkpoint.path))
  ) {
    await faults.at('attach.kill');
    await removeRemains(network, paths, true);
    claim.settle();
    const { name } = journal.checkpoint;
    const words = `the daemon of ${network} died while it ended the guests of checkpoint ${name}, which is complete: they have been ended now; \`stillwire restart ${name}\` brings them back`;
    throw new StillwireError('CHECKPOINT_COMPLETE', words, { network, checkpoint: name });
  }
  if (!isAttachable(remains)) throw staleError(remains);
  onEvent({ event: 'progress', step: `taking up network ${network}, whose daemon died` });
  const { state, stored } = remains;
  const { live, report } = await reattach({
    definition: stored.definition,
    runDirectory: paths.directory,
    holdFile: paths.held,
    guests: state.guests,
    devices: state.devices,
    borrowed: state.borrowed ?? [],
    resume: toResume(remains),
    signal,
    onPhase: (phase, ms) => onEvent({ event: 'phase', phase, ms }),
    beforePhase: faults.of('attach'),
  });
  try {
    claim.record(live.guests.values(), live.network);
    await faults.at('attach.remove');
    const removed = await removeDrafts(journal);
    new FileJournal(paths.journal, network).clear();
    rmSync(paths.socket, { force: true });
    return { live, report: { ...report, removed, ...(await checkpointOf(remains)) } };
  } catch (error) {
    await live.leave();
    throw error;
  }
}

/** The checkpoint that was being written, when it has become whole before its daemon died. */
async function checkpointOf({ journal }: Remains): Promise<{ checkpoint?: string }> {
  if (typeof journal !== 'object' || !('checkpoint' in journal)) return {};
  const { name, path } = journal.checkpoint;
  return (await isWhole(path)) ? { checkpoint: name } : {};
}
