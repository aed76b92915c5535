/** What a daemon is started for, and what it tells while it starts. */
import { z } from 'zod';
import type { NetworkStatus, ReattachReport, RestartReport, RestoreReport } from '../checkpoint/index.js';
import type { NetworkDefinition } from '../definition/index.js';
import { definitionSchema } from '../image/manifest-schema.js';
import { checkpointsDirectory, stateDirectory } from '../image/index.js';

/** Where the checkpoints of the network go. */
interface Places {
  /** STATE; default {@link stateDirectory}. */
  readonly state?: string;
  /** The directory the network file names, in place of STATE/NETWORK. */
  readonly checkpoints?: string;
}

export interface UpJob extends Places {
  readonly kind: 'up';
  readonly definition: NetworkDefinition;
}

interface FromImage extends Places {
  /** Of the image. */
  readonly directory: string;
  /** Another name for the network. */
  readonly as?: string;
}

export interface RestartJob extends FromImage {
  readonly kind: 'restart';
  readonly forceDisks?: boolean;
  /** Wall clock at the command's start, milliseconds since 1970. */
  readonly startedAtMs?: number;
}

export interface RestoreJob extends FromImage {
  readonly kind: 'restore';
  /** Milliseconds after which the held network flows by itself, 100 to 3,600,000. Default five minutes. */
  readonly leaseMs?: number;
}

export type Job = UpJob | RestartJob | RestoreJob;

/** A restored network is held; the token renews and releases the hold. */
export type HeldRestoreReport = RestoreReport & { readonly token: string; readonly leaseMs: number };

/** What became of a network whose daemon was killed, when `up` has taken it up again. */
export interface Reattached extends ReattachReport {
  /** Paths of the half images that were removed. */
  readonly removed: readonly string[];
  /** The checkpoint that was under way, when it is whole. */
  readonly checkpoint?: string;
}

export type UpReport = NetworkStatus & { readonly reattached?: Reattached };

/** What a daemon reports when it is ready, by its job. */
export interface ReadyReports {
  readonly up: UpReport;
  readonly restart: RestartReport;
  readonly restore: HeldRestoreReport;
}
export type ReadyReport<J extends Job = Job> = ReadyReports[J['kind']];

/** Told while the daemon starts; the last is `ready`, or the start fails. */
export type StartEvent =
  | { readonly event: 'progress'; readonly step: string }
  | { readonly event: 'phase'; readonly phase: string; readonly ms: number };

const places = { state: z.string().exactOptional(), checkpoints: z.string().exactOptional() };
const fromImage = { ...places, directory: z.string().min(1), as: z.string().exactOptional() };

/** A job as it comes from the process that launched the daemon. */
export const jobSchema: z.ZodType<Job> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('up'), definition: definitionSchema, ...places }),
  z.strictObject({
    kind: z.literal('restart'),
    ...fromImage,
    forceDisks: z.boolean().exactOptional(),
    startedAtMs: z.number().exactOptional(),
  }),
  z.strictObject({ kind: z.literal('restore'), ...fromImage, leaseMs: z.number().exactOptional() }),
]);

/** Where checkpoints of `network` go, as the job says. */
export const checkpointsOf = (job: Job, network: string): string =>
  checkpointsDirectory(job.state ?? stateDirectory(), network, job.checkpoints);
