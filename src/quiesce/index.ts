/** The methods of quiescing a network and the sequence hold → drain → stop → sweep → mark → save → resume → release. */
export type { Channel, Observation } from './channel.js';
export { DEFAULT_BOUNDS, drain, isDrained, type DrainBounds } from './drain.js';
export * from './evidence.js';
export {
  combine,
  runSequence,
  type Cut,
  type Participants,
  type Phase,
  type SequenceOptions,
} from './sequence.js';
export { sweep } from './sweep.js';
