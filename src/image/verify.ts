/**
 * Verifies an image: every fault it has, not the first. Nothing outside its directory is read, whatever its
 * manifest says: the manifest's paths are only compared with what was found in the directory without following links.
 *
 *   tree        links, devices and the like
 *   manifest    checksum, JSON, version and features, shape          (an unknown version ends here)
 *   files       those listed and those found are the same, sizes, then hashes; the in-flight frames are not hashed when
 *               they are too long to be read
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
import { demandOwnImage } from './owners.js';
import { Pins } from './pins.js';
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
  /**
   * A path, good in this process until {@link close}, that leads to the very file of a guest's state that was hashed,
   * whatever has come to lie in its place. @throws StillwireError IMAGE_INVALID unless opened with `pin`
   */
  pinned(relative: string): string;
  /** Lets go of what is pinned. */
  close(): void;
}

/** Files of guests' states that are what the manifest says by name and size. */
function statesOf({ guests }: Manifest, files: readonly ManifestFile[]): string[] {
  const there = new Set(files.map(({ path }) => path));
  return Object.values(guests).flatMap(({ state }) =>
    state !== undefined && there.has(state) ? [state] : [],
  );
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
    else if (path === INFLIGHT_FILE && found > MAX_INFLIGHT_BYTES) return false; // told when they are counted
    return found === bytes;
  });
}

async function compareHashes(
  top: string,
  files: readonly ManifestFile[],
  pins: Pins,
  faults: string[],
): Promise<void> {
  const paths = files.map(({ path }) => path);
  const digests = await digestFiles(top, paths, { durable: false, open: pins.descriptors });
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
export function verifyImage(directory: string): Promise<VerifyReport> {
  return examine(directory, new Pins());
}

/** @param pins given, the states of guests are opened before they are hashed, and stay open */
async function examine(directory: string, pins: Pins, pinStates = false): Promise<VerifyReport> {
  const path = resolve(directory);
  await requireDirectory(path);
  const tree = await listTree(path);
  const { manifest, faults: found, unsupported } = await examineManifest(path);
  const faults = [...tree.faults, ...found];
  const bytes = [...tree.files.values()].reduce((sum, size) => sum + size, 0);
  if (!manifest) return { path, faults, unsupported, bytes };

  const worthHashing = compareFiles(manifest.files, tree, faults);
  if (pinStates) pins.open(path, statesOf(manifest, worthHashing));
  await compareHashes(path, worthHashing, pins, faults);
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
 * Verifies an image and opens it, to be restarted from: what may not be trusted with that is refused.
 * @param options.pin keep the states of guests open, for {@link Image.pinned}
 * @throws StillwireError IMAGE_INVALID with every fault in `details.faults`; IMAGE_UNSUPPORTED for one that is
 *   undamaged but newer; DIRECTORY_UNSAFE for one that a stranger could change; CHECKPOINT_NOT_FOUND
 */
export async function openImage(
  directory: string,
  { pin = false }: { readonly pin?: boolean } = {},
): Promise<Image> {
  const pins = new Pins();
  try {
    const { path: top, manifest, faults, unsupported } = await examine(directory, pins, pin);
    refuse(top, faults, unsupported);
    if (!manifest) throw new StillwireError('IMAGE_INVALID', `${top}: no manifest`, { path: top });
    await demandOwnImage(top);
    return imageOf(top, manifest, pins);
  } catch (error) {
    pins.close();
    throw error;
  }
}

function imageOf(top: string, manifest: Manifest, pins: Pins): Image {
  const files = new Map(manifest.files.map((file) => [file.path, file]));
  const unknown = (relative: string): never => {
    throw new StillwireError('IMAGE_INVALID', `${top} has no file ${quoted(relative)}`, { path: top });
  };
  const fileOf = (relative: string): ManifestFile => files.get(relative) ?? unknown(relative);
  return {
    directory: top,
    manifest,
    frames: () => readFrames(top, fileOf(INFLIGHT_FILE)),
    path: (relative) => join(top, fileOf(relative).path),
    pinned: (relative) => pins.path(relative) ?? unknown(relative),
    close: () => pins.close(),
  };
}
