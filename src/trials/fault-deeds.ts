/** What goes wrong, done from outside while the daemon stands at a step (STILLWIRE_FAIL_AT=step:wait). */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { runProgram } from '../network/index.js';
import type { Fault } from './fault-cases.js';
import type { FaultBench, Started } from './fault-bench.js';

/** How long a stopped QEMU says nothing: longer than anything a guest is waited for without a word. */
const SILENCE_MS = 3_000;
/** The guest that everything happens to. */
export const VICTIM = 'g1';

/** Does it. @returns what is to be done once the daemon has gone on */
export async function strike(
  bench: FaultBench,
  fault: Fault,
  { child }: Started,
): Promise<() => Promise<unknown>> {
  const nothing = (): Promise<void> => Promise.resolve();
  switch (fault) {
    case 'daemon killed':
      process.kill(bench.daemonPid(), 'SIGKILL');
      return nothing;
    case 'SIGTERM':
      process.kill(bench.daemonPid(), 'SIGTERM');
      return nothing;
    case 'guest killed':
      process.kill(bench.guestPid(VICTIM), 'SIGKILL');
      return nothing;
    case 'guest reset':
      await bench.monitor(VICTIM, 'system_reset');
      return nothing;
    case 'QMP silent': {
      const pid = bench.guestPid(VICTIM);
      process.kill(pid, 'SIGSTOP');
      return async () => {
        await delay(SILENCE_MS);
        if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGCONT'); // unless a kill has ended it
      };
    }
    case 'disk full': {
      const file = await bench.fillDisk();
      return () => delay(500).then(() => rm(file, { force: true }));
    }
    case 'directory gone':
      for (const draft of bench.drafts()) await rm(draft, { recursive: true, force: true });
      return nothing;
    case 'TAP deleted':
      await runProgram('ip', '-n', bench.namespace, 'link', 'delete', 'tap0');
      return nothing;
    case 'client gone':
      child.kill('SIGKILL');
      return nothing;
    case 'lease over':
      child.kill('SIGSTOP');
      return () => Promise.resolve(child.kill('SIGCONT'));
    case 'step fails':
      return nothing; // the daemon's own doing
  }
}
