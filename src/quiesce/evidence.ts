/**
 * What was observed about each port at a cut, and the judgement drawn from it. The observations are stored in the
 * manifest as they were made; `verify` draws the judgement again, so that "proven" is never taken on trust.
 */
import type { PortId } from '../frame/types.js';
import { hasRing, type DownEvidence, type PortKind, type UpEvidence } from '../port/evidence.js';

export type { CookieState, DownEvidence, PortKind, UpEvidence } from '../port/evidence.js';

/**
 * How one port is judged.
 *
 *   count    by what the kernel shows: sentinels read, counts equal
 *   cookie   by the guest's own answer to a marker; no kernel counter is looked at
 *   quiet    by having waited; proves nothing
 */
export const PORT_METHODS = ['count', 'cookie', 'quiet'] as const;
export type PortMethod = (typeof PORT_METHODS)[number];

/** What a caller asks for. `auto`, the default: for each port the strongest of the others that is to be had there. */
export const QUIESCE_METHODS = ['auto', ...PORT_METHODS] as const;
export type QuiesceMethod = (typeof QUIESCE_METHODS)[number];
export const DEFAULT_METHOD: QuiesceMethod = 'auto';

export interface PortEvidence {
  readonly port: PortId;
  readonly kind: PortKind;
  /** The one used here. */
  readonly method: PortMethod;
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
  const { port, kind, method } = evidence;
  const reason = kind === 'external' ? undefined : REASONS[method](evidence);
  return reason === undefined ? { port, proven: true } : { port, proven: false, reason };
}

/** Why the way down is not known to be empty; undefined when it is. */
export function downDoubt({ kind, method, down }: Omit<PortEvidence, 'up'>): string | undefined {
  if (kind === 'external') return undefined;
  if (down.recalled > 0) return `${down.recalled} frames the guest did not read were taken back`;
  return method === 'quiet' ? undefined : DOWN_DOUBTS[method](kind, down);
}

const DOWN_DOUBTS = {
  count(kind: PortKind, down: DownEvidence): string | undefined {
    if (hasRing(kind)) {
      if (!down.sentinelSent) return 'the sentinel could not be sent: frames before it are still unread';
      if (!down.ringEmpty) return 'the guest did not read its ring empty in time';
      if (down.sendQueueBytes !== 0) return `${down.sendQueueBytes} bytes were left in the qdisc`;
    }
    if (down.droppedSinceHold === 0) return undefined;
    return `the kernel dropped ${down.droppedSinceHold} frames towards the guest`;
  },
  cookie(kind: PortKind, down: DownEvidence): string | undefined {
    if (!hasRing(kind) || down.cookie === 'answered') return undefined;
    return down.cookie === 'asked'
      ? 'the guest did not answer the cookie in time'
      : 'nobody behind this port is known to answer a cookie';
  },
};

/** Why a port is not proven; undefined when it is. */
const REASONS: Readonly<Record<PortMethod, (evidence: PortEvidence) => string | undefined>> = {
  count(evidence) {
    const { kind, up } = evidence;
    const doubt = downDoubt(evidence);
    if (doubt !== undefined) return doubt;
    if (!up.queueEmpty) return 'frames from the guest were still arriving';
    if (up.socketDrops !== 0) return `${up.socketDrops} frames from the guest overran the receive buffer`;
    if (kind === 'tap' && up.deviceFrames !== up.receivedFrames) {
      return `the device took ${up.deviceFrames} frames from the guest, ${up.receivedFrames} were received`;
    }
    // A datagram socket drops nothing; but a hypervisor that met a full one keeps a frame, and loses it at its stop.
    if (kind === 'dgram' && up.mayHaveOverrun) return 'the receive queue may have been full';
    return undefined;
  },
  cookie(evidence) {
    const { up } = evidence;
    const doubt = downDoubt(evidence);
    if (doubt !== undefined) return doubt;
    if (!up.queueEmpty) return 'frames from the guest were still arriving';
    return up.mayHaveOverrun ? 'the receive queue may have been full' : undefined;
  },
  quiet: () => 'waited for quiet, which proves nothing',
};

/** The cut is proven when every port is. */
export function isProven(evidence: readonly PortEvidence[]): boolean {
  return evidence.every((port) => judge(port).proven);
}
