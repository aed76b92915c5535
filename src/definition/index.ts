/** What a network is, and reading it from the network file. */
export * from './definition.js';
export { describeDefinition } from './describe.js';
export {
  parseNetworkFile,
  readNetworkFile,
  type Fault,
  type NetworkFileOptions,
  type Surroundings,
} from './file.js';
