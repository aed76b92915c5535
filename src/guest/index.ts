/** Guests: what can be stopped, saved, resumed and restarted. */
export type { Guest, GuestIdentity, RunState, WritableDisk } from './guest.js';
export { startQemu, type StartQemuOptions } from './qemu.js';
export { adoptQemu, type AdoptOptions } from './adopt-qemu.js';
export { restartAdopted, type RestartAdoptedOptions } from './restart-adopted.js';
export { attachQemu, type AttachedQemu, type AttachQemuOptions } from './attach-qemu.js';
export type { FoundTap } from './found-taps.js';
export { MAX_NICS, qemuArguments, type QemuFacts } from './qemu-arguments.js';
export { hashBootFiles } from './qemu-identity.js';
export {
  COMMAND_TIMEOUT_MS,
  QmpClient,
  type QmpCommandOptions,
  type QmpConnectOptions,
  type QmpEvent,
} from './qmp.js';
export { peekRunState, resumeByMonitor } from './peek.js';
export { qmpSocketOf } from './qmp-socket.js';
