/** SIGNATURE FIRST, bodies follow. */
import type { CheckpointReport, ImageReport, NetworkStatus } from '../checkpoint/index.js';
import type { DrainBounds, QuiesceMethod } from '../quiesce/index.js';

export interface CheckpointBody {
  /** Default: the time. */
  readonly name?: string;
  readonly method?: QuiesceMethod;
  readonly bounds?: Partial<DrainBounds>;
  readonly requireProof?: boolean;
  readonly kill?: boolean;
}
export interface HoldBody {
  readonly leaseMs?: number;
  readonly method?: QuiesceMethod;
  readonly bounds?: Partial<DrainBounds>;
}
export interface HoldGrant {
  readonly token: string;
  readonly method: QuiesceMethod;
  readonly leaseMs: number;
  /** From the acknowledged hold to the emptied way down. */
  readonly drainMs: number;
}
export interface ReleaseReport {
  /** Hold → release. */
  readonly heldMs: number;
  /** Release → all queues empty; null when that took longer than the daemon waits. */
  readonly releaseMs: number | null;
}
export interface PhaseEvent {
  readonly event: 'phase';
  readonly phase: string;
  readonly ms: number;
}
/** `running`: its daemon lives. `stale`: it died and left things behind; `down` removes them. */
export interface RunningNetwork {
  readonly network: string;
  readonly state: 'running' | 'stale';
}
export interface Choice {
  /** As -n gives it. */
  readonly network?: string;
  /** Network file whose name is tried; default ./stillwire.yaml. */
  readonly file?: string;
}

export declare class DaemonClient {
  /** @throws StillwireError NETWORK_NOT_FOUND, NETWORK_AMBIGUOUS, DAEMON_UNREACHABLE */
  static connect(choice?: Choice): Promise<DaemonClient>;
  readonly network: string;
  status(signal?: AbortSignal): Promise<NetworkStatus>;
  /** Aborting the signal aborts the checkpoint in the daemon; the promise then rejects with INTERRUPTED, or resolves when it was too late. With `kill` it resolves when the daemon is gone. */
  checkpoint(
    body: CheckpointBody,
    onEvent?: (event: PhaseEvent) => void,
    signal?: AbortSignal,
  ): Promise<CheckpointReport>;
  hold(body?: HoldBody, signal?: AbortSignal): Promise<HoldGrant>;
  renew(token: string, leaseMs?: number): Promise<void>;
  mark(token: string, name: string): Promise<ImageReport>;
  /** `current`: whatever hold lasts. */
  release(token: string): Promise<ReleaseReport>;
  /** pcapng, until the signal is aborted. */
  capture(signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Resolves when the daemon is gone. */
  down(signal?: AbortSignal): Promise<void>;
}
/** Networks of the run directory, by name. */
export declare function runningNetworks(): Promise<RunningNetwork[]>;
/** Removes what a dead daemon left: guests, namespace, files. @throws NETWORK_NOT_FOUND, NETWORK_EXISTS (it lives) */
export declare function removeStale(network: string): Promise<void>;
