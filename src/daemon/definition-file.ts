/** definition.json: what a network is, kept beside it for whoever takes it up after its daemon has died. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { NetworkDefinition } from '../definition/index.js';
import { definitionSchema } from '../image/manifest-schema.js';

export interface StoredDefinition {
  readonly definition: NetworkDefinition;
  /** Where its checkpoints go, as the job had it. */
  readonly state?: string;
  readonly checkpoints?: string;
}

const schema: z.ZodType<StoredDefinition> = z.object({
  definition: definitionSchema,
  state: z.string().exactOptional(),
  checkpoints: z.string().exactOptional(),
});

export function writeDefinition(path: string, stored: StoredDefinition): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(stored, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Undefined when there is none, or it is damaged. */
export function readDefinition(path: string): StoredDefinition | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}

/** Differences told of one pair of definitions, at most. */
const MOST_TOLD = 8;

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** `guests.a.memory was 128, is 256`, for each value in which two definitions differ; empty when they are the same. */
export function differences(was: NetworkDefinition, is: NetworkDefinition): string[] {
  const found: string[] = [];
  compare([], was, is, found);
  const more = found.length - MOST_TOLD;
  return more > 0 ? [...found.slice(0, MOST_TOLD), `and ${more} more`] : found;
}

function compare(path: readonly string[], was: unknown, is: unknown, found: string[]): void {
  if (isRecord(was) && isRecord(is) && Array.isArray(was) === Array.isArray(is)) {
    for (const key of new Set([...Object.keys(was), ...Object.keys(is)])) {
      compare([...path, key], was[key], is[key], found);
    }
    return;
  }
  if (Object.is(was, is)) return;
  const tell = (value: unknown): string => (value === undefined ? 'absent' : JSON.stringify(value));
  found.push(`${path.join('.')} was ${tell(was)}, is ${tell(is)}`);
}
