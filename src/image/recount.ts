/** Counts an image's in-flight frames anew and holds them against its manifest. */
import { join } from 'node:path';
import { auditFrames } from './audit.js';
import { MAX_INFLIGHT_BYTES, decodeInflight } from './inflight.js';
import { INFLIGHT_FILE } from './manifest.js';
import type { Manifest } from './manifest.js';
import { readBounded } from './read.js';

export interface Recount {
  /** Frames found; absent when the file cannot be read. */
  readonly frames?: number;
  readonly faults: readonly string[];
}

/** Never throws: a file that cannot be read is a fault. */
export async function recountFrames(directory: string, manifest: Manifest): Promise<Recount> {
  try {
    const capture = decodeInflight(await readBounded(join(directory, INFLIGHT_FILE), MAX_INFLIGHT_BYTES));
    return { frames: capture.frames.length, faults: auditFrames(manifest, capture) };
  } catch (error) {
    return { faults: [`${INFLIGHT_FILE}: ${error instanceof Error ? error.message : String(error)}`] };
  }
}
