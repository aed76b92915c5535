/** What a network is, and reading it from the network file. */
export * from './definition.js';
export {
  describeDefinition,
  parseNetworkFile,
  readNetworkFile,
  type Fault,
  type NetworkFile,
  type NetworkFileOptions,
  type Surroundings,
} from './file.js';
