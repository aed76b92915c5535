/** A live network: namespace, switch and ports, and the holds taken on it. */
export { giveBackTap, type AdoptedTap } from './adopted-tap.js';
export { Hold, DEFAULT_LEASE_MS, type HoldOptions, type HoldState } from './hold.js';
export type { LeasedChannel } from './leased-channel.js';
export { Mark } from './mark.js';
export { Network, type OpenOptions, type Release } from './network.js';
export type { Remains } from './ports.js';
export { deleteNamespace, deleteTap, namespaceExists, namespaceOf, runProgram } from './namespace.js';
