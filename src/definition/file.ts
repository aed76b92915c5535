/**
 * The network file: one YAML 1.2 text that describes a network; examples/two-guests/stillwire.yaml shows its keys.
 *
 *   text --source--> YAML with places --reader, schema--> keys --resolve--> NetworkDefinition
 *                          \____________________\___________________\____ faults, thrown together
 *
 * Nothing is created here; what can be known wrong before anything is created is told here.
 */
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { StillwireError } from '../errors/index.js';
import type { NetworkFile } from './definition.js';
import { FaultList, printable } from './faults.js';
import { resolveNetwork } from './resolve.js';
import { MAX_FILE_BYTES, Source } from './source.js';
import { thisMachine } from './surroundings.js';
import type { Surroundings } from './surroundings.js';

export type { NetworkFile } from './definition.js';
export type { Fault } from './faults.js';
export type { Surroundings } from './surroundings.js';

export interface NetworkFileOptions {
  /** Where kernels and programs are looked for; this machine unless given. */
  readonly environment?: Surroundings;
}

/**
 * Reads a network file's text. Deterministic but for what it looks up: files of guests, and programs on PATH.
 * @param path - of the file, as faults shall name it; relative paths in the text start at its directory
 * @throws StillwireError FILE_INVALID with every fault found: one line each in the message
 *   (`lab.yaml:12:7: unknown key "kernal"; did you mean "kernel"?`), and as `details.faults`, {@link Fault}[]
 */
export function parseNetworkFile(text: string, path: string, options: NetworkFileOptions = {}): NetworkFile {
  const faults = new FaultList();
  const source = Source.read(text, faults);
  const resolved = source && resolveNetwork(source, path, options.environment ?? thisMachine, faults);
  if (resolved === undefined) throw faults.error(path);
  return { path: resolve(path), ...resolved };
}

/**
 * Reads a network file.
 * @throws StillwireError FILE_INVALID as {@link parseNetworkFile}, or when there is no such file or it cannot be read
 */
export async function readNetworkFile(path: string, options: NetworkFileOptions = {}): Promise<NetworkFile> {
  const bytes = await readBounded(path).catch((error: unknown) => {
    const why = reason(error);
    throw new StillwireError(
      'FILE_INVALID',
      `cannot read ${printable(path)}: ${why}`,
      { file: path, faults: [] },
      error,
    );
  });
  const text = bytes.toString('utf8');
  const wrong = firstWrongByte(bytes, text);
  if (wrong !== undefined) throw notText(path, bytes.subarray(0, wrong));
  return parseNetworkFile(text, path, options);
}

/** One byte more than a network file may have is enough to refuse it; `up /dev/zero` must end too. */
async function readBounded(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const buffer = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.subarray(0, length);
  } finally {
    await file.close();
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
};

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ''] ?? message;
}

/** Offset of the first byte that is not UTF-8; undefined when all are. */
function firstWrongByte(bytes: Buffer, text: string): number | undefined {
  const again = Buffer.from(text);
  if (again.equals(bytes)) return undefined;
  let i = 0;
  while (again[i] === bytes[i]) i++;
  return i;
}

function notText(path: string, before: Buffer): StillwireError {
  const lines = new TextDecoder().decode(before, { stream: true }).split('\n');
  const faults = new FaultList();
  faults.add({ line: lines.length, column: lines.at(-1)!.length + 1 }, 'not UTF-8 text');
  return faults.error(path);
}
