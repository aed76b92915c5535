/** The shapes of QEMU's answers we read (qapi/*.json), cut down to the members we use. */
import { z } from 'zod';
import { StillwireError } from '../errors/index.js';
import type { QmpClient } from './qmp.js';

export const StatusAnswer = z.object({ status: z.string(), running: z.boolean() });

export const VersionAnswer = z.object({
  qemu: z.object({ major: z.number(), minor: z.number(), micro: z.number() }),
});

export const MemoryAnswer = z.object({ 'base-memory': z.number(), 'plugged-memory': z.number().default(0) });

export const CpusAnswer = z.array(z.object({ 'qom-path': z.string() }));

export const MigrateAnswer = z.object({ status: z.string().optional(), 'error-desc': z.string().optional() });

export const MigrateParametersAnswer = z.object({ 'max-bandwidth': z.number() });

export const MigrateCapabilitiesAnswer = z.array(z.object({ capability: z.string(), state: z.boolean() }));

/** Of qom-list. */
export const ObjectsAnswer = z.array(z.object({ name: z.string(), type: z.string() }));

/** Of human-monitor-command. */
export const TextAnswer = z.string();

export const BlockAnswer = z.array(
  z.object({
    device: z.string(),
    qdev: z.string().optional(),
    inserted: z
      .object({ file: z.string(), ro: z.boolean(), drv: z.string(), 'node-name': z.string().optional() })
      .optional(),
  }),
);

/**
 * Runs a command whose answer has the shape of `schema`.
 * @throws as QmpClient.execute; StillwireError GUEST_FAILED for an answer of another shape
 */
export async function ask<T>(
  qmp: QmpClient,
  schema: z.ZodType<T>,
  command: string,
  args: Readonly<Record<string, unknown>> = {},
): Promise<T> {
  const answer = schema.safeParse(await qmp.execute(command, args));
  if (answer.success) return answer.data;
  throw new StillwireError(
    'GUEST_FAILED',
    `QEMU's answer to ${command} is of no known form`,
    { command },
    answer.error,
  );
}
