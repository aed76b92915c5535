/**
 * Stillwire as a library: what the daemon itself uses.
 *
 * For an orchestrator that saves and restores its own machines:
 *
 * ```ts
 * import { define, open, restore, save } from 'stillwire';
 *
 * const network = await open(define({ network: 'lab', segments: { lan: {} }, ports: { … } }));
 * const hold = await network.hold({ leaseMs: 5000 }); // nothing is delivered, the way down is drained
 * await stopMyMachines();
 * const mark = await hold.mark(); //                      what they had sent is taken in and frozen
 * await saveMyMachines();
 * await resumeMyMachines();
 * await hold.release(); //                                saved order first
 * const image = await save(network, mark, { name: 'monday', directory: '/var/lib/lab' });
 *
 * // later, anywhere:
 * const { network, hold } = await restore({ directory: image.path });
 * await restoreMyMachines();
 * await hold.release();
 * ```
 *
 * A hold that is not released in time ends by itself; from then on `mark` fails with HOLD_EXPIRED.
 *
 * For QEMU machines run by Stillwire, {@link LiveNetwork.up}, {@link takeCheckpoint} and {@link restart} do all of it.
 *
 * @packageDocumentation
 */
import {
  restore as restoreLive,
  saveMark,
  type ImageReport,
  type RestoreReport,
} from './checkpoint/index.js';
import { parseNetworkFile, type NetworkDefinition } from './definition/index.js';
import { Network, type Hold, type Mark } from './network/index.js';

export {
  LiveNetwork,
  restart,
  takeCheckpoint,
  type CheckpointOptions,
  type CheckpointReport,
  type ImageReport,
  type NetworkStatus,
  type PortReport,
  type RestartOptions,
  type RestartReport,
  type RestoreReport,
  type UpOptions,
} from './checkpoint/index.js';
export * from './definition/index.js';
export { ERRORS, EXIT, StillwireError, type ErrorCode, type ErrorDetails } from './errors/index.js';
export { describeFrame } from './frame/describe.js';
export type { InflightFrame, PortId } from './frame/types.js';
export { openImage, verifyImage, type Image, type Manifest, type VerifyReport } from './image/index.js';
export { Hold, Mark, Network, type HoldOptions, type HoldState, type Release } from './network/index.js';
export {
  isProven,
  judge,
  type DownEvidence,
  type DrainBounds,
  type PortEvidence,
  type PortKind,
  type QuiesceMethod,
  type UpEvidence,
  type Verdict,
} from './quiesce/index.js';
export { imbalances, type PortLedger } from './switch/index.js';

/**
 * Fills in every default of a network given as an object of the network file's shape; paths in it are relative to the
 * working directory.
 * @throws StillwireError FILE_INVALID with every fault
 */
export function define(network: Readonly<Record<string, unknown>>): NetworkDefinition {
  return parseNetworkFile(JSON.stringify(network, undefined, 1), 'network').definition;
}

/**
 * Opens a network: its namespace, its switch and its ports. Traffic flows when it resolves; guests in the definition
 * get their descriptors ({@link Network.tapFd}) and nothing else. Needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN,
 * unless all ports are of kind dgram.
 * @throws StillwireError NETWORK_STALE when the namespace is there already; NO_PRIVILEGE, MISSING_PROGRAM, SYSCALL
 */
export const open = (definition: NetworkDefinition): Promise<Network> => Network.open(definition);

/**
 * Writes a mark as an image. It takes as long as the disk does: ask for it after the release, or under a lease that is
 * long enough before {@link Network.close}. A mark whose hold was lost cannot be saved.
 * @throws StillwireError HOLD_EXPIRED, HOLD_OVERFLOW, NAME_INVALID, CHECKPOINT_EXISTS, DIRECTORY_UNSAFE, COMMIT_FAILED
 */
export const save = (
  network: Network,
  mark: Mark,
  options: { readonly name: string; readonly directory: string },
): Promise<ImageReport> => saveMark(network.definition, mark, options);

export interface RestoreImageOptions {
  /** Of the image. */
  readonly directory: string;
  /** Another name for the network. */
  readonly as?: string;
  /** Milliseconds until the network flows by itself. Default five minutes. */
  readonly leaseMs?: number;
}

/**
 * Brings a saved network back with its frames, held until `hold.release()`.
 * @throws StillwireError IMAGE_INVALID, IMAGE_UNSUPPORTED before anything is touched; as {@link open} otherwise
 */
export async function restore(
  options: RestoreImageOptions,
): Promise<{ network: Network; hold: Hold; report: RestoreReport }> {
  const { live, hold, report } = await restoreLive(options);
  return { network: live.network, hold, report };
}
