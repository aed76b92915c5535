/** Reads a manifest: bounded, without following links, its checksum compared before its words are believed. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StillwireError } from '../errors/index.js';
import { headerSchema, manifestSchema, schemaFaults } from './manifest-schema.js';
import {
  CHECKSUM_FILE,
  FORMAT_VERSION,
  KNOWN_FEATURES,
  MANIFEST_FILE,
  MAX_MANIFEST_BYTES,
} from './manifest.js';
import type { Manifest } from './manifest.js';

/** What reading the manifest alone tells. */
export interface ManifestReading {
  /** Present when it is of this version and has the right shape, even if its checksum differs. */
  readonly manifest?: Manifest;
  readonly faults: readonly string[];
  /** Versions and features this program does not know, in words. */
  readonly unsupported: readonly string[];
}

const MAX_CHECKSUM_BYTES = 256;

/** The checksum file's whole content, in the format of sha256sum(1). */
export function checksumLine(manifest: Uint8Array): string {
  return `${createHash('sha256').update(manifest).digest('hex')}  ${MANIFEST_FILE}\n`;
}

/**
 * Reads a regular file whole. @throws the system's error, or an Error when it is longer than `limit` bytes
 */
export async function readBounded(path: string, limit: number): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new Error('not a regular file');
    if (status.size > limit) throw new Error(`${status.size} bytes, more than ${limit}`);
    const bytes = Buffer.alloc(status.size);
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await handle.close();
  }
}

/** The same, with a fault instead of an error. */
async function readPart(directory: string, file: string, limit: number, faults: string[]) {
  try {
    return await readBounded(join(directory, file), limit);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    faults.push(missing ? `${file} is missing` : `${file} cannot be read: ${(error as Error).message}`);
    return undefined;
  }
}

function parse(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
}

/** Reads manifest and checksum and says all that is wrong with the two. Never throws for what it reads. */
export async function examineManifest(directory: string): Promise<ManifestReading> {
  const faults: string[] = [];
  const unsupported: string[] = [];
  const bytes = await readPart(directory, MANIFEST_FILE, MAX_MANIFEST_BYTES, faults);
  const checksum = await readPart(directory, CHECKSUM_FILE, MAX_CHECKSUM_BYTES, faults);
  if (bytes === undefined) return { faults, unsupported };
  // Compared byte by byte with what we would write: nothing else in that file passes either.
  if (checksum && !checksum.equals(Buffer.from(checksumLine(bytes)))) {
    faults.push(`${MANIFEST_FILE} does not match ${CHECKSUM_FILE}`);
  }

  let value: unknown;
  try {
    value = parse(bytes);
  } catch {
    // Not why: the error quotes what was read, and a hard link may lead to a file that is not of the image.
    faults.push(`${MANIFEST_FILE} is not JSON`);
    return { faults, unsupported };
  }
  const header = headerSchema.safeParse(value);
  if (!header.success) return { faults: [...faults, ...schemaFaults(header.error)], unsupported };
  const { formatVersion, requires } = header.data;
  if (formatVersion !== FORMAT_VERSION) unsupported.push(`format version ${formatVersion}`);
  for (const feature of requires) {
    if (!KNOWN_FEATURES.includes(feature)) unsupported.push(`feature ${JSON.stringify(feature)}`);
  }
  // Its shape is not ours to judge.
  if (unsupported.length > 0) return { faults, unsupported };

  const manifest = manifestSchema.safeParse(value);
  if (!manifest.success) return { faults: [...faults, ...schemaFaults(manifest.error)], unsupported };
  return { manifest: manifest.data, faults, unsupported };
}

/** Throws what the findings amount to, if anything; a damaged image is not called unsupported. */
export function refuse(directory: string, faults: readonly string[], unsupported: readonly string[]): void {
  if (faults.length > 0) {
    const more = faults.length > 10 ? [`and ${faults.length - 10} more`] : [];
    const said = [...faults.slice(0, 10), ...more].join('; ');
    throw new StillwireError('IMAGE_INVALID', `${directory}: ${said}`, { path: directory, faults });
  }
  if (unsupported.length > 0) {
    const message = `${directory} needs ${unsupported.join(' and ')}, unknown to this version`;
    throw new StillwireError('IMAGE_UNSUPPORTED', message, { path: directory, unsupported });
  }
}

/** @throws StillwireError CHECKPOINT_NOT_FOUND unless it is a directory that can be entered */
export async function requireDirectory(directory: string): Promise<void> {
  const isDirectory = await stat(directory).then(
    (status) => status.isDirectory(),
    () => false,
  );
  if (!isDirectory)
    throw new StillwireError('CHECKPOINT_NOT_FOUND', `no checkpoint at ${directory}`, { path: directory });
}

/**
 * The manifest alone, checked against its checksum and shape but not against the other files: for lists.
 * @throws StillwireError CHECKPOINT_NOT_FOUND, IMAGE_INVALID, IMAGE_UNSUPPORTED
 */
export async function readManifest(directory: string): Promise<Manifest> {
  await requireDirectory(directory);
  const { manifest, faults, unsupported } = await examineManifest(directory);
  refuse(directory, faults, unsupported);
  if (!manifest) throw new StillwireError('IMAGE_INVALID', `${directory}: no manifest`, { path: directory });
  return manifest;
}
