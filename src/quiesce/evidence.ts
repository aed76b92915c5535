/**
 * What was observed about each port at a cut, and the judgement drawn from it. The observations are stored in the
 * manifest as they were made; `verify` draws the judgement again, so that "proven" is never taken on trust.
 */
import type { PortId } from '../frame/types.js';
import type { DownEvidence, PortKind, UpEvidence } from '../port/evidence.js';

export type { DownEvidence, PortKind, UpEvidence } from '../port/evidence.js';

export type QuiesceMethod = 'count' | 'quiet';

export interface PortEvidence {
  readonly port: PortId;
  readonly kind: PortKind;
  readonly method: QuiesceMethod;
  readonly down: DownEvidence;
  readonly up: UpEvidence;
}

export interface Verdict {
  readonly port: PortId;
  readonly proven: boolean;
  /** Why not, for a person; absent when proven. */
  readonly reason?: string;
}

/**
 * Judges one port. An external port leads out of the cut: nothing about it is claimed, so it cannot spoil the proof.
 * The heuristic `quiet` proves nothing, whatever was seen.
 */
export function judge(evidence: PortEvidence): Verdict {
  const { port, kind, method, down, up } = evidence;
  const no = (reason: string): Verdict => ({ port, proven: false, reason });
  if (kind === 'external') return { port, proven: true };
  if (method === 'quiet') return no('waited for quiet, which proves nothing');
  if (kind === 'tap') {
    if (!down.sentinelSent) return no('the sentinel could not be sent: frames before it are still unread');
    if (!down.ringEmpty) return no('the guest did not read its ring empty in time');
    if (down.sendQueueBytes !== 0) return no(`${down.sendQueueBytes} bytes were left in the qdisc`);
  }
  if (down.droppedSinceHold !== 0)
    return no(`the kernel dropped ${down.droppedSinceHold} frames towards the guest`);
  if (!up.queueEmpty) return no('frames from the guest were still arriving');
  if (up.socketDrops !== 0) return no(`${up.socketDrops} frames from the guest overran the receive buffer`);
  if (kind === 'tap' && up.deviceFrames !== up.receivedFrames) {
    return no(`the device took ${up.deviceFrames} frames from the guest, ${up.receivedFrames} were received`);
  }
  return { port, proven: true };
}

/** The cut is proven when every port is. */
export function isProven(evidence: readonly PortEvidence[]): boolean {
  return evidence.every((port) => judge(port).proven);
}
