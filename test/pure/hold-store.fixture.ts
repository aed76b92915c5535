/** Hold files in a directory of their own, and cuts through them: what a SIGKILL at this instruction would leave. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { InflightFrame, PortId } from '../../src/frame/types.js';
import { recoverFrom } from '../../src/hold-queue/recover.js';
import { numberOf } from './frames.js';

export const directory = mkdtempSync(join(tmpdir(), 'stillwire-hold-'));
export const removeDirectory = (): void => rmSync(directory, { recursive: true, force: true });

let made = 0;
export const newPath = (): string => join(directory, `hold-${made++}`);

/** The file as it is now, whether its daemon has settled or not. */
export function snapshot(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return readFileSync(`${path}.next`);
  }
}

export const recoverBytes = (file: Buffer): Promise<InflightFrame[]> =>
  recoverFrom((at, bytes) => Promise.resolve(file.subarray(at, at + bytes)));

/** Numbers of the frames owed to each port, in order. */
export function owedTo(frames: readonly InflightFrame[]): Map<PortId, number[]> {
  const owed = new Map<PortId, number[]>();
  for (const { destinations, bytes } of frames) {
    const number = numberOf(bytes as Buffer);
    for (const id of destinations) {
      const known = owed.get(id);
      if (known === undefined) owed.set(id, [number]);
      else known.push(number);
    }
  }
  return owed;
}

/** Calls `onCommit` behind every atomic store: wherever the state of a file may have changed. Ends with `stop`. */
export function watchCommits(onCommit: () => void): { stop: () => void } {
  const store = Atomics.store.bind(Atomics);
  const spy = vi.spyOn(Atomics, 'store').mockImplementation(((
    array: Int32Array,
    at: number,
    value: number,
  ) => {
    const stored = store(array, at, value);
    onCommit();
    return stored;
  }) as typeof Atomics.store);
  return { stop: () => spy.mockRestore() };
}
