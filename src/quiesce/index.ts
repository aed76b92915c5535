/** The methods of quiescing a network and the sequence hold → drain → stop → sweep → mark → save → resume → release. */
export type { Channel, Observation, Recall } from './channel.js';
export { DEFAULT_BOUNDS, drain, methodOf, unreadyOf, type DrainBounds } from './drain.js';
export * from './evidence.js';
export {
  combine,
  DEFAULT_UNREADY,
  PHASES,
  runSequence,
  settleUnready,
  type Cut,
  type Participants,
  type Phase,
  type SequenceOptions,
  type UnreadyPolicy,
} from './sequence.js';
export { sweep } from './sweep.js';
export { realTime, type Time } from './time.js';
