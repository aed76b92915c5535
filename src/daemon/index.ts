/** The daemon room: one process per network, its HTTP API on a unix socket, and the client of it. */
export { DaemonClient } from './client.js';
export type { Choice } from './choose.js';
export { runDaemon, type DaemonHooks } from './entry.js';
export type {
  HeldRestoreReport,
  Job,
  ReadyReport,
  Reattached,
  RestartJob,
  RestoreJob,
  StartEvent,
  UpJob,
  UpReport,
} from './job.js';
export { launchDaemon, type LaunchOptions } from './launch.js';
export { runDirectory, secureRunDirectory } from './run-directory.js';
export { storedDefinition } from './stored.js';
export { staleStatus, type StaleGuest, type StaleStatus } from './stale-status.js';
export { removeStale, runningNetworks, type RunningNetwork } from './stale.js';
export type { CheckpointBody, Health, HoldBody, HoldGrant, PhaseEvent, ReleaseReport } from './wire.js';
