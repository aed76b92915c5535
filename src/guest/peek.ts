/** A look at a guest that nobody is attached to. */
import type { RunState } from './guest.js';
import { ask, StatusAnswer } from './qemu-answers.js';
import { plainState } from './qemu-guest.js';
import { abandonMigration } from './qemu-migration.js';
import { QmpClient } from './qmp.js';

const RESUME_TIMEOUT_MS = 5_000;

/**
 * The run state of the guest behind a QMP socket that no client has.
 * @param timeoutMs for the connection, and again for the answer
 * @returns `unknown` when it does not answer in time: it hangs, or somebody else has its monitor
 */
export async function peekRunState(name: string, qmpSocket: string, timeoutMs: number): Promise<RunState> {
  try {
    const qmp = await QmpClient.connect(qmpSocket, { guest: name, timeoutMs });
    try {
      return plainState((await ask(qmp, StatusAnswer, 'query-status')).status);
    } finally {
      qmp.close();
    }
  } catch {
    return 'unknown';
  }
}

/** Lets a guest run on that a dead process had stopped. One that does not answer stays as it is. */
export async function resumeByMonitor(name: string, qmpSocket: string): Promise<void> {
  try {
    const qmp = await QmpClient.connect(qmpSocket, { guest: name, timeoutMs: RESUME_TIMEOUT_MS });
    try {
      await abandonMigration(qmp, name);
      await qmp.execute('cont');
    } finally {
      qmp.close();
    }
  } catch {
    // It is somebody else's, and its owner sees what it is in.
  }
}
