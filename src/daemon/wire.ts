/**
 * What travels between daemon and client, as zod schemas: the server checks what it is asked by them, the client what
 * it is answered, and the OpenAPI document is made of them. Where a room below has a type for it, the compiler holds
 * the schema to that type.
 */
import { z } from 'zod';
import type { CheckpointReport, ImageReport, NetworkStatus } from '../checkpoint/index.js';
import { ERRORS, type ErrorCode } from '../errors/index.js';
import { PORT_METHODS, QUIESCE_METHODS, type PortEvidence } from '../quiesce/index.js';
import type { PortLedger } from '../switch/index.js';

const count = z.int().min(0);
const ms = z.number();
const method = z.enum(QUIESCE_METHODS);
const kind = z.enum(['tap', 'dgram', 'device', 'external']);
const counts = z.record(z.string(), count);

export const errorSchema = z.object({
  code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
  message: z.string(),
  details: z.record(z.string(), z.unknown()),
  next: z.string(),
});

export const healthSchema = z.object({
  status: z.literal('ok'),
  network: z.string(),
  version: z.string(),
  pid: count,
  /** Resident set of the whole process; of the main thread the JavaScript heap in use, and buffers outside it. */
  memory: z.object({ rssBytes: count, heapUsedBytes: count, externalBytes: count }).exactOptional(),
});
export type Health = z.infer<typeof healthSchema>;

export const statusSchema = z.object({
  network: z.string(),
  namespace: z.string().exactOptional(),
  engine: z.string(),
  held: z.boolean(),
  guests: z.array(
    z.object({
      name: z.string(),
      pid: count.exactOptional(),
      state: z.string(),
      ports: z.array(z.string()),
    }),
  ),
  ports: z.array(
    z.object({
      port: z.string(),
      kind,
      segment: z.string(),
      device: z.string().exactOptional(),
      in: z.object({ frames: count, bytes: count, discarded: count }),
      out: z.object({ frames: count, bytes: count, dropped: count, reasons: counts }),
      held: count,
    }),
  ),
}) satisfies z.ZodType<NetworkStatus>;

const evidence = z.object({
  port: z.string(),
  kind,
  method: z.enum(PORT_METHODS),
  down: z.object({
    sentinelSent: z.boolean(),
    ringEmpty: z.boolean(),
    sendQueueBytes: z.number(),
    droppedSinceHold: z.number(),
    cookie: z.enum(['unasked', 'asked', 'answered']),
    recalled: count,
  }),
  up: z.object({
    deviceFrames: z.number(),
    receivedFrames: z.number(),
    socketDrops: z.number(),
    queueEmpty: z.boolean(),
    mayHaveOverrun: z.boolean(),
  }),
}) satisfies z.ZodType<PortEvidence>;

const ledger = z.object({
  port: z.string(),
  ingress: z.object({
    received: count,
    bytes: count,
    switched: count,
    copies: count,
    discarded: counts,
  }),
  egress: z.object({
    switched: count,
    restored: count,
    recalled: count,
    sentinels: count,
    cookies: count,
    sent: count,
    bytes: count,
    held: count,
    dropped: counts,
  }),
}) as unknown as z.ZodType<PortLedger>; // reasons are added over time; a client shows those it is told

const image = {
  name: z.string(),
  path: z.string(),
  method,
  proven: z.boolean(),
  ports: z.array(
    z.object({ port: z.string(), proven: z.boolean(), reason: z.string().exactOptional(), evidence }),
  ),
  inFlightFrames: count,
  ledger: z.array(ledger),
  bytes: count,
};

export const imageReportSchema = z.object(image) satisfies z.ZodType<ImageReport>;

export const checkpointReportSchema = z.object({
  ...image,
  pauseMs: ms,
  releaseMs: ms.nullable(),
  phases: z.record(z.string(), ms),
  skewMs: z.object({ stop: ms, resume: ms.nullable() }),
  killed: z.boolean(),
}) satisfies z.ZodType<CheckpointReport>;

const leaseMs = z.int().min(100).max(3_600_000);
const boundMs = z.number().min(1).max(600_000);
const quiesce = {
  method: method.exactOptional(),
  unready: z
    .enum(['fail', 'keep'])
    .describe(
      'a guest that takes no frames: fail with PORT_UNREADY and nothing changed (default), or take back what it has not read and deliver it again in order; its port is not proven then',
    )
    .exactOptional(),
  bounds: z
    .strictObject({
      drainMs: boundMs.exactOptional(),
      lingerMs: boundMs.exactOptional(),
      quietMs: boundMs.exactOptional(),
    })
    .exactOptional(),
};

export const checkpointBodySchema = z.strictObject({
  /** Default: the time. */
  name: z.string().exactOptional(),
  ...quiesce,
  requireProof: z.boolean().exactOptional(),
  kill: z.boolean().exactOptional(),
});
export type CheckpointBody = Readonly<z.infer<typeof checkpointBodySchema>>;

export const operationSchema = z.object({
  id: z.string(),
  kind: z.literal('checkpoint'),
  state: z.enum(['running', 'done', 'failed']),
  result: checkpointReportSchema.exactOptional(),
  error: errorSchema.exactOptional(),
});
export type OperationView = z.infer<typeof operationSchema>;

const phaseEvent = z.object({ event: z.literal('phase'), phase: z.string(), ms });
/** One line of an operation's event stream; the last is `done` or `failed`. */
export const operationEventSchema = z.discriminatedUnion('event', [
  phaseEvent,
  z.object({ event: z.literal('done'), result: checkpointReportSchema }),
  z.object({ event: z.literal('failed'), error: errorSchema }),
]);
export type OperationEvent = z.infer<typeof operationEventSchema>;
export type PhaseEvent = z.infer<typeof phaseEvent>;

export const holdBodySchema = z.strictObject({ leaseMs: leaseMs.exactOptional(), ...quiesce });
export type HoldBody = Readonly<z.infer<typeof holdBodySchema>>;

export const holdGrantSchema = z.object({
  /** Renews, marks and releases this hold. */
  token: z.string(),
  method,
  leaseMs,
  /** Hold begun (from here on nothing is sent) → way down empty, or given up. */
  drainMs: ms,
  /** Ports whose way down was not seen empty. */
  unready: z.array(z.string()),
});
export type HoldGrant = z.infer<typeof holdGrantSchema>;

export const renewBodySchema = z.strictObject({ leaseMs: leaseMs.exactOptional() });
export const markBodySchema = z.strictObject({ name: z.string() });
export const holdStateSchema = z.object({ state: z.literal('held') });

export const releaseReportSchema = z.object({
  /** Hold begun (from here on nothing is sent) → release. */
  heldMs: ms,
  /** Release → all queues empty; null when that took longer than the daemon waits. */
  releaseMs: ms.nullable(),
});
export type ReleaseReport = z.infer<typeof releaseReportSchema>;

export const emptySchema = z.strictObject({});
