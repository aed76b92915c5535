/** Starts a daemon, beside this process or in it. */
import type { Job, ReadyReport, StartEvent } from '../daemon/index.js';
import type { Session } from './session.js';

/**
 * In the foreground it returns when the network has ended, which an interrupt brings about: that is its usual end, no
 * failure. An interrupt before the network was ready undoes the start.
 * @param tell writes the report once the network is ready
 */
export async function runJob<J extends Job>(
  session: Session,
  job: J,
  foreground: boolean,
  tell: (report: ReadyReport<J>) => Promise<void>,
): Promise<number> {
  const { progress, signal } = session;
  const { runDaemon, launchDaemon } = await session.daemonRoom();
  const onEvent = (event: StartEvent): void => {
    if (event.event === 'phase') progress.phase(event.phase, event.ms);
    else progress.step(event.step);
  };
  if (!foreground) {
    const report = await launchDaemon(job, { onEvent, signal });
    progress.end();
    await tell(report);
    return 0;
  }
  let told: Promise<void> = Promise.resolve();
  const onReady = (report: ReadyReport<J>): void => {
    session.started();
    progress.end();
    told = tell(report);
  };
  await runDaemon(job, { onEvent, onReady, signal });
  await told;
  return 0;
}
