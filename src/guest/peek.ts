/** A look at a guest that nobody is attached to. */
import type { RunState } from './guest.js';
import { ask, StatusAnswer } from './qemu-answers.js';
import { plainState } from './qemu-guest.js';
import { QmpClient } from './qmp.js';

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
