/** The demo room: test guests under traffic, the demo and the soak. */
import { describeAccount, reportOf, type DemoReport } from './account.js';
import { LEAST_IN_FLIGHT, playDemo, type DemoOptions } from './demo.js';

export type { DemoReport } from './account.js';
export type { DemoOptions } from './demo.js';

export interface DemoResult {
  /** What `--json` prints, as it is. */
  readonly report: DemoReport;
  /** The table at the end. */
  readonly text: string;
}

/**
 * Plays the demo; see demo.ts. Its two checkpoints stay in the state directory until the next demo.
 * @throws StillwireError when it could not be played to its end; nothing is left then. MISSING_PROGRAM when the guest
 *   image is not built; NETWORK_EXISTS while another demo runs
 */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const account = await playDemo(options);
  return {
    report: reportOf(account, LEAST_IN_FLIGHT),
    text: describeAccount(account, LEAST_IN_FLIGHT),
  };
}
