/**
 * What the quiesce needs of a network: eight verbs. The switch thread implements it for real; a simulator may too, so
 * that the very sequence that runs in production can be searched for wrong interleavings.
 */
import type { PortId } from '../frame/types.js';
import type { PortEvidence } from './evidence.js';

/** What can be seen at one port now. */
export interface Observation extends Omit<PortEvidence, 'method'> {
  /** Whether the kernel's evidence can prove both ways of this port at all; if not, only an answered cookie can. */
  readonly kernelProof: boolean;
}

/** A port whose unread frames are to be taken back. */
export interface Recall {
  readonly port: PortId;
  /**
   * Whether the stop will make the hypervisor throw away the frame it has taken and not delivered. One whose machine
   * does not run is not stopped: it keeps that frame, and only an image needs a copy.
   */
  readonly stops: boolean;
}

export interface Channel<Marked = unknown> {
  /** Stops all delivery; nothing is delivered once this has resolved. `at`: monotonic milliseconds. */
  hold(): Promise<{ epoch: number; at: number }>;
  /** Sends sentinels with a fresh nonce behind the last frame on every port that needs them. */
  sentinels(epoch: number): Promise<void>;
  /** Sends one marker with a fresh nonce to all of these ports at once (absent: to all); their guests answer it. */
  cookies(epoch: number, ports?: readonly PortId[]): Promise<void>;
  /** Takes back what these ports' guests have not read, to the head of their queues, in order. */
  recall(epoch: number, ports: readonly Recall[]): Promise<void>;
  /** Takes in everything that has arrived. */
  sweep(epoch: number): Promise<void>;
  /** What can be observed at every port now. */
  observe(epoch: number): Promise<Observation[]>;
  /** Freezes the in-flight set. */
  mark(epoch: number): Promise<Marked>;
  /** Delivers what was held, then lets traffic flow. */
  release(epoch: number): Promise<{ at: number }>;
}
