/**
 * A checkpoint being written: all or nothing.
 *
 * Goal: at every instant, a power cut included, the directory NAME either does not exist or is a whole checkpoint.
 * Invariant: until the last step everything lies in a directory of a name that no checkpoint can have (partial.ts).
 *
 *   create    root judged and rid of what dead writers left, name free, partial directory with guests/
 *   (the caller writes files to path(…), no fsync: the network may be held)
 *   commit    files hashed and fsynced in a worker; the manifest audited as a restart would
 *             manifest.json written and fsynced, then manifest.sha256
 *             directories fsynced, deepest first
 *             rename to NAME: fails if NAME has come to exist, so that one of two drafts wins
 *             root fsynced; if that fails the rename is undone
 *
 * Any failure removes the partial directory. A process that dies leaves it; sweepPartials finds it.
 */
import { mkdirSync } from 'node:fs';
import { lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StillwireError } from '../errors/index.js';
import { auditManifest } from './audit.js';
import { digestFiles } from './digest.js';
import { manifestSchema, schemaFaults } from './manifest-schema.js';
import { CHECKSUM_FILE, MANIFEST_FILE, MAX_MANIFEST_BYTES, isImagePath, isName } from './manifest.js';
import type { Manifest, ManifestBody, ManifestFile } from './manifest.js';
import { partialName, sweepPartials } from './partial.js';
import { checksumLine } from './read.js';
import { recountFrames } from './recount.js';
import { secureRoot, syncPath } from './root.js';
import { listTree } from './tree.js';

export interface CommittedImage {
  /** Absolute path of the checkpoint. */
  readonly path: string;
  readonly manifest: Manifest;
  /** Of all files. */
  readonly bytes: number;
}

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

async function writeDurably(path: string, content: Uint8Array): Promise<void> {
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export class ImageDraft {
  readonly #root: string;
  readonly #target: string;
  /** Where the image is being written; gone after commit or abandon. */
  readonly directory: string;
  #state: 'open' | 'committing' | 'committed' | 'abandoned' = 'open';
  /** Settles, never rejects, when the partial directory is gone for good. */
  #ending: Promise<void> | undefined;

  private constructor(
    root: string,
    readonly name: string,
  ) {
    this.#root = root;
    this.#target = join(root, name);
    this.directory = join(root, partialName(name));
  }

  /**
   * Begins a checkpoint `name` in `root`, which is made when missing.
   * @throws StillwireError NAME_INVALID, DIRECTORY_UNSAFE, CHECKPOINT_EXISTS, COMMIT_FAILED (cannot write there)
   */
  static async create(root: string, name: string): Promise<ImageDraft> {
    if (!isName(name))
      throw new StillwireError('NAME_INVALID', `${JSON.stringify(name)} is not a valid name`);
    const draft = new ImageDraft(await secureRoot(root), name);
    await sweepPartials(draft.#root); // what writers that died left behind does not pile up
    if (await exists(draft.#target)) throw draft.#taken();
    try {
      await mkdir(join(draft.directory, 'guests'), { recursive: true, mode: 0o700 });
    } catch (error) {
      await draft.abandon();
      throw draft.#failed(error);
    }
    return draft;
  }

  /**
   * Absolute path for a file of the image; makes the directories above it, so call it before the hold.
   * @param relative `inflight.pcapng`, `guests/NAME/…` or `attachments/…`
   * @throws StillwireError NAME_INVALID for any other
   */
  path(relative: string): string {
    if (!isImagePath(relative)) {
      throw new StillwireError('NAME_INVALID', `${JSON.stringify(relative)} is not a path inside an image`);
    }
    const path = join(this.directory, relative);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return path;
  }

  /**
   * Has a file of the image written.
   * @param relative as for {@link path}
   * @throws StillwireError COMMIT_FAILED with the cause's words; NAME_INVALID
   */
  async write(relative: string, writer: (path: string) => Promise<unknown>): Promise<void> {
    try {
      await writer(this.path(relative));
    } catch (error) {
      throw error instanceof StillwireError ? error : this.#failed(error);
    }
  }

  /** Absolute path of the checkpoint it becomes. */
  get target(): string {
    return this.#target;
  }

  /**
   * Makes the image durable under its name. Afterwards the draft is spent, whatever came of it.
   * @param beforeRename called when all is written and durable; what it throws fails the commit
   * @throws StillwireError COMMIT_FAILED with the cause's words; CHECKPOINT_EXISTS when another was faster
   */
  async commit(
    body: ManifestBody,
    beforeRename: () => Promise<void> = () => Promise.resolve(),
  ): Promise<CommittedImage> {
    if (this.#state !== 'open') {
      throw new StillwireError('INTERNAL', `the draft ${this.name} is ${this.#state}`);
    }
    this.#state = 'committing';
    const commit = this.#write(body, beforeRename).catch(async (error: unknown) => {
      this.#state = 'abandoned';
      await this.#remove();
      throw error instanceof StillwireError ? error : this.#failed(error);
    });
    this.#ending = commit.then(
      () => undefined,
      () => undefined,
    );
    return commit;
  }

  /** Removes all that was written, unless it is committed; ends a commit under way if it still can. Never throws. */
  async abandon(): Promise<void> {
    if (this.#state === 'committed') return;
    this.#state = 'abandoned';
    // A commit under way cleans up itself: removing files beneath it could leave it to rename what is left.
    this.#ending ??= this.#remove();
    await this.#ending;
  }

  async #write(body: ManifestBody, beforeRename: () => Promise<void>): Promise<CommittedImage> {
    if (body.name !== this.name) throw new Error(`the manifest is named ${body.name}`);
    const { files: found, directories, faults } = await listTree(this.directory);
    if (faults.length > 0) throw new Error(faults.join('; '));
    const manifest = { ...body, files: await this.#digest([...found.keys()]) };
    const shape = manifestSchema.safeParse(manifest);
    if (!shape.success) throw new Error(schemaFaults(shape.error).join('; '));
    // Guests may be ended on the strength of this commit: what a restart would refuse is refused now.
    const audited = [...auditManifest(manifest), ...(await recountFrames(this.directory, manifest)).faults];
    if (audited.length > 0) throw new Error(audited.join('; '));
    const text = Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`);
    if (text.length > MAX_MANIFEST_BYTES) throw new Error(`a manifest of ${text.length} bytes is too long`);
    const checksum = Buffer.from(checksumLine(text));
    await writeDurably(join(this.directory, MANIFEST_FILE), text);
    await writeDurably(join(this.directory, CHECKSUM_FILE), checksum);
    for (const below of directories.toReversed()) await syncPath(join(this.directory, below));
    await syncPath(this.directory);
    await beforeRename();
    await this.#publish();
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, text.length + checksum.length);
    return { path: this.#target, manifest, bytes };
  }

  async #digest(paths: readonly string[]): Promise<ManifestFile[]> {
    const digests = await digestFiles(this.directory, paths, { durable: true });
    return digests.map((digest) => {
      if ('error' in digest) throw new Error(digest.error);
      return digest;
    });
  }

  /** The step from nothing to a checkpoint. Until the rename is durable it can still be taken back. */
  async #publish(): Promise<void> {
    // rename(2) would replace an empty directory or, on the path of a file, say something less helpful.
    if (await exists(this.#target)) throw this.#taken();
    if (this.#isAbandoned()) throw new Error('abandoned');
    try {
      await rename(this.directory, this.#target);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR' ? this.#taken() : error;
    }
    try {
      await syncPath(this.#root);
    } catch (error) {
      // If even that fails the image is destroyed where it is: it must not be found after a reported failure.
      await rename(this.#target, this.directory).catch(() => rm(this.#target, { recursive: true }));
      throw error;
    }
    this.#state = 'committed';
  }

  /** A method, since abandon() changes the state while commit waits. */
  #isAbandoned(): boolean {
    return this.#state === 'abandoned';
  }

  async #remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true }).catch(() => undefined);
  }

  #taken(): StillwireError {
    const message = `a checkpoint ${this.name} exists in ${this.#root}`;
    return new StillwireError('CHECKPOINT_EXISTS', message, { path: this.#target });
  }

  #failed(error: unknown): StillwireError {
    const words = error instanceof Error ? error.message : String(error);
    const message = `checkpoint ${this.name} was not written: ${words}`;
    return new StillwireError('COMMIT_FAILED', message, { path: this.#target }, error);
  }
}
