/** Checkpoint and restart of a whole network: guests, frames and all. */
export { takeCheckpoint, type CheckpointOptions } from './checkpoint.js';
export type { CheckpointPlace, Journal, JournalEntry, Step } from './journal.js';
export { LiveNetwork, type UpOptions } from './live-network.js';
export type { CheckpointReport, ImageReport, PortReport } from './report.js';
export {
  DEFAULT_RESTORE_LEASE_MS,
  restart,
  restore,
  type RestartOptions,
  type RestartReport,
  type RestoreOptions,
  type RestoreReport,
} from './restart.js';
export { reattach, type ReattachOptions, type ReattachReport } from './reattach.js';
export { saveMark } from './save-mark.js';
export type { GuestStatus, NetworkStatus, PortStatus } from './status.js';
