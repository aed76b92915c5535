/**
 * Verifies an image: every fault it has, not the first. Nothing outside its directory is read, whatever its
 * manifest says: the manifest's paths are only compared with what was found in the directory without following links.
 *
 *   tree        links, devices and the like
 *   manifest    checksum, JSON, version and features, shape          (an unknown version ends here)
 *   files       those listed and those found are the same, sizes, then hashes
 *   audit       the manifest within itself, and against the in-flight frames
 */
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { StillwireError } from '../errors/index.js';
import type { InflightFrame } from '../frame/types.js';
import { isProven } from '../quiesce/evidence.js';
import { auditManifest } from './audit.js';
import { digestFiles } from './digest.js';
import { MAX_INFLIGHT_BYTES, decodeInflight } from './inflight.js';
import { CHECKSUM_FILE, INFLIGHT_FILE, MANIFEST_FILE } from './manifest.js';
import type { Manifest, ManifestFile } from './manifest.js';
import { examineManifest, readBounded, refuse, requireDirectory } from './read.js';
import { recountFrames } from './recount.js';
import { listTree, quoted } from './tree.js';
import type { ImageTree } from './tree.js';

export interface VerifyReport {
  /** Absolute path of the image. */
  readonly path: string;
  /** Present when it can be read at all. */
  readonly manifest?: Manifest;
  /** In words; empty for a sound image of a known version. */
  readonly faults: readonly string[];
  /** Format version and features this program does not know; then nothing but the manifest was checked. */
  readonly unsupported: readonly string[];
  /** Judged anew from the evidence. */
  readonly proven?: boolean;
  /** Counted anew from the pcapng. */
  readonly inFlightFrames?: number;
  /** Of all files found. */
  readonly bytes: number;
}

/** An image that was found sound. */
export interface Image {
  /** Absolute path of its directory. */
  readonly directory: string;
  readonly manifest: Manifest;
  /** Reads the in-flight frames, in order of arrival. @throws StillwireError IMAGE_INVALID if the file changed since */
  frames(): Promise<InflightFrame[]>;
  /** Absolute path of one of the manifest's files. @throws StillwireError IMAGE_INVALID for any other */
  path(relative: string): string;
}

/** Compares the listed files with those found. @returns those worth hashing */
function compareFiles(listed: readonly ManifestFile[], tree: ImageTree, faults: string[]): ManifestFile[] {
  const expected = new Map(listed.map((file) => [file.path, file]));
  if (expected.size !== listed.length) faults.push('the manifest lists a file twice');
  if (!expected.has(INFLIGHT_FILE)) faults.push(`the manifest does not list ${INFLIGHT_FILE}`);
  for (const path of tree.files.keys()) {
    const known = expected.has(path) || path === MANIFEST_FILE || path === CHECKSUM_FILE;
    if (!known) faults.push(`${quoted(path)} does not belong to the checkpoint`);
  }
  return [...expected.values()].filter(({ path, bytes }) => {
    const found = tree.files.get(path);
    if (found === undefined) faults.push(`${quoted(path)} is missing`);
    else if (found !== bytes) faults.push(`${quoted(path)} has ${found} bytes, not ${bytes}`);
    return found === bytes;
  });
}

async function compareHashes(top: string, files: readonly ManifestFile[], faults: string[]): Promise<void> {
  const paths = files.map(({ path }) => path);
  const digests = await digestFiles(top, paths, { durable: false });
  for (const [i, digest] of digests.entries()) {
    if ('error' in digest) faults.push(`${quoted(digest.path)} cannot be read: ${digest.error}`);
    else if (digest.sha256 !== files[i]!.sha256)
      faults.push(`${quoted(digest.path)} has changed (sha256 differs)`);
  }
}

/**
 * Finds every fault of the image in `directory`, which itself may be a link.
 * @throws StillwireError CHECKPOINT_NOT_FOUND when there is no such directory; for nothing that is in it
 */
export async function verifyImage(directory: string): Promise<VerifyReport> {
  const path = resolve(directory);
  await requireDirectory(path);
  const tree = await listTree(path);
  const { manifest, faults: found, unsupported } = await examineManifest(path);
  const faults = [...tree.faults, ...found];
  const bytes = [...tree.files.values()].reduce((sum, size) => sum + size, 0);
  if (!manifest) return { path, faults, unsupported, bytes };

  await compareHashes(path, compareFiles(manifest.files, tree, faults), faults);
  faults.push(...auditManifest(manifest));
  // A missing file was told already.
  const recount = tree.files.has(INFLIGHT_FILE) ? await recountFrames(path, manifest) : { faults: [] };
  faults.push(...recount.faults);
  return {
    path,
    manifest,
    faults,
    unsupported,
    proven: isProven(manifest.evidence),
    ...(recount.frames !== undefined && { inFlightFrames: recount.frames }),
    bytes,
  };
}

/** The frames, from the very bytes that were verified. */
async function readFrames(directory: string, file: ManifestFile): Promise<InflightFrame[]> {
  const bytes = await readBounded(join(directory, file.path), MAX_INFLIGHT_BYTES);
  if (createHash('sha256').update(bytes).digest('hex') !== file.sha256) {
    throw new StillwireError('IMAGE_INVALID', `${directory}: ${file.path} has changed since it was verified`);
  }
  return [...decodeInflight(bytes).frames];
}

/**
 * Verifies an image and opens it.
 * @throws StillwireError IMAGE_INVALID with every fault in `details.faults`; IMAGE_UNSUPPORTED for one that is
 *   undamaged but newer; CHECKPOINT_NOT_FOUND
 */
export async function openImage(directory: string): Promise<Image> {
  const { path: top, manifest, faults, unsupported } = await verifyImage(directory);
  refuse(top, faults, unsupported);
  if (!manifest) throw new StillwireError('IMAGE_INVALID', `${top}: no manifest`, { path: top });
  const files = new Map(manifest.files.map((file) => [file.path, file]));
  const fileOf = (relative: string): ManifestFile => {
    const file = files.get(relative);
    if (file) return file;
    throw new StillwireError('IMAGE_INVALID', `${top} has no file ${quoted(relative)}`, { path: top });
  };
  return {
    directory: top,
    manifest,
    frames: () => readFrames(top, fileOf(INFLIGHT_FILE)),
    path: (relative) => join(top, fileOf(relative).path),
  };
}
