/** The daemon room: one process per network, its HTTP API on a unix socket, and the client of it. */
export { DaemonClient, runningNetworks, removeStale } from './client.js';
export type {
  CheckpointBody,
  Choice,
  HoldBody,
  HoldGrant,
  PhaseEvent,
  ReleaseReport,
  RunningNetwork,
} from './client.js';
export { launchDaemon, type LaunchOptions } from './launch.js';
export { runDaemon, type DaemonHooks } from './entry.js';
export type { Job, ReadyReport, RestartJob, RestoreJob, StartEvent, UpJob } from './job.js';
