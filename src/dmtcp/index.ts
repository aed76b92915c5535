/** Guests whose process DMTCP saves, and the plugins in them that we speak with. */
export { startDmtcp, type StartDmtcpOptions } from './start.js';
export { DmtcpCoordinator } from './coordinator.js';
export { DmtcpGroup, type OnForeign } from './group.js';
export { canFork, dmtcpVersion } from './programs.js';
