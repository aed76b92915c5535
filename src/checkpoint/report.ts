/** What a checkpoint tells about itself when it is done. */
import type { CommittedImage } from '../image/index.js';
import type { Mark } from '../network/index.js';
import type { PortEvidence, QuiesceMethod } from '../quiesce/index.js';
import type { PortLedger } from '../switch/index.js';

export interface PortReport {
  readonly port: string;
  readonly proven: boolean;
  /** Why not, when not. */
  readonly reason?: string;
  readonly evidence: PortEvidence;
}

/** An image, with or without guests. */
export interface ImageReport {
  readonly name: string;
  /** Absolute path of the image. */
  readonly path: string;
  readonly method: QuiesceMethod;
  readonly proven: boolean;
  readonly ports: readonly PortReport[];
  readonly inFlightFrames: number;
  readonly ledger: readonly PortLedger[];
  /** Size of the image. */
  readonly bytes: number;
}

export interface CheckpointReport extends ImageReport {
  /** Hold begun (from here on nothing is sent) → first frame released on the last port that had any. With `killed`: → guests ended. */
  readonly pauseMs: number;
  /** Release → all queues empty; null when the guests were ended or a guest takes nothing. */
  readonly releaseMs: number | null;
  readonly phases: Readonly<Record<string, number>>;
  /** Between the first and the last guest. */
  readonly skewMs: { readonly stop: number; readonly resume: number | null };
  readonly killed: boolean;
}

export const imageReport = (name: string, mark: Mark, { path, bytes }: CommittedImage): ImageReport => ({
  name,
  path,
  method: mark.method,
  proven: mark.proven,
  ports: mark.verdicts.map((verdict, i) => ({ ...verdict, evidence: mark.evidence[i]! })),
  inFlightFrames: mark.frameCount,
  ledger: mark.ledger,
  bytes,
});
