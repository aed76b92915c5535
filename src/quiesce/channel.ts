/**
 * What the quiesce needs of a network: six verbs. The switch thread implements it for real; a simulator may too, so
 * that the very sequence that runs in production can be searched for wrong interleavings.
 */
import type { PortEvidence } from './evidence.js';

export type Observation = Omit<PortEvidence, 'method'>;

export interface Channel<Marked = unknown> {
  /** Stops all delivery; nothing is delivered once this has resolved. `at`: monotonic milliseconds. */
  hold(): Promise<{ epoch: number; at: number }>;
  /** Sends a sentinel with a fresh nonce behind the last frame on every port that needs one. */
  sentinels(epoch: number): Promise<void>;
  /** Takes in everything that has arrived. */
  sweep(epoch: number): Promise<void>;
  /** What can be observed at every port now. */
  observe(epoch: number): Promise<Observation[]>;
  /** Freezes the in-flight set. */
  mark(epoch: number): Promise<Marked>;
  /** Delivers what was held, then lets traffic flow. */
  release(epoch: number): Promise<{ at: number }>;
}
