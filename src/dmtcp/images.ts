/**
 * Where DMTCP writes the image of one guest, and how it gets from there to where the checkpoint wants it.
 *
 * The directory that DMTCP knows from the guest's start is a symbolic link, turned for each checkpoint to a directory
 * beside the state file: so the image is written where it is to lie, and handing it over is a rename. At other times it
 * leads to a directory for images that nobody asked us for; they are removed before the next is written.
 *
 * It is turned when the guest stands and waits for our answer, not before: where a checkpoint comes to nothing the guest
 * goes through DMTCP's all the same, and what it writes into must not be removed meanwhile: it would die of that.
 *
 * While a guest is started it is a directory indeed: dmtcp_restart opens it, and the process goes by what the kernel then
 * calls it, which of a link would be where it led.
 */
import { constants } from 'node:fs';
import { chmod, copyFile, link, mkdir, readdir, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import { Progress } from './progress.js';

const POLL_MS = 20;

export class DmtcpImages {
  readonly #guest: string;
  /** For `--ckptdir`. */
  readonly directory: string;
  readonly #idle: string;
  /** Where the link leads. */
  #target: string;
  /** Where it is to lead next. */
  #prepared: string | undefined;

  private constructor(guest: string, runDirectory: string) {
    this.#guest = guest;
    this.directory = join(runDirectory, `${guest}.ckpt`);
    this.#idle = join(runDirectory, `${guest}.images`);
    this.#target = this.#idle;
  }

  static async open(guest: string, runDirectory: string): Promise<DmtcpImages> {
    const images = new DmtcpImages(guest, await realpath(runDirectory));
    await rm(images.directory, { recursive: true, force: true });
    await mkdir(images.directory, { mode: 0o700 });
    return images;
  }

  /** The guest knows its directory by name: it can become a link. */
  async settle(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
    await this.#empty(this.#idle);
    await this.#turn(this.#idle);
  }

  async #empty(directory: string): Promise<void> {
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true, mode: 0o700 });
  }

  async #turn(target: string): Promise<void> {
    await symlink(target, `${this.directory}.new`).catch(async (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      await rm(`${this.directory}.new`);
      await symlink(target, `${this.directory}.new`);
    });
    await rename(`${this.directory}.new`, this.directory);
    this.#target = target;
  }

  /** An image will be wanted near `file`. */
  async prepare(file: string): Promise<void> {
    this.#prepared = join(dirname(file), 'dmtcp');
    await this.#empty(this.#prepared);
  }

  /** The guest stands: what is written next is the image that was prepared for. */
  async aim(): Promise<void> {
    if (this.#prepared !== undefined) await this.#turn(this.#prepared);
  }

  /** Back to where nobody looks; what was prepared is removed. */
  async rest(): Promise<void> {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    if (this.#target !== this.#idle) {
      await this.#empty(this.#idle);
      await this.#turn(this.#idle);
    }
    if (prepared !== undefined) await rm(prepared, { recursive: true, force: true });
  }

  /**
   * Waits for the image to be whole, and puts it to `file`, where nothing may be.
   * @returns its bytes
   * @throws StillwireError GUEST_FAILED; the signal's reason
   */
  async take(file: string, signal: AbortSignal): Promise<number> {
    try {
      const image = await this.#whole(signal);
      await chmod(image, 0o600);
      await move(image, file);
      await this.rest();
      return (await stat(file)).size;
    } catch (error) {
      if (signal.aborted || error instanceof StillwireError) throw error;
      throw this.#say(`saving failed: ${(error as Error).message}`);
    }
  }

  /** Bytes that are there of it, whole or not. */
  async written(): Promise<number> {
    const names = await readdir(this.#target).catch(() => []);
    const sizes = await Promise.all(
      names.map((name) => stat(join(this.#target, name)).catch(() => undefined)),
    );
    return sizes.reduce((sum, size) => sum + (size?.size ?? 0), 0);
  }

  /** Whether the image is there that was prepared for, and all of it. */
  async isWhole(): Promise<boolean> {
    const names = await readdir(this.#target).catch(() => []);
    return names.some((name) => name.endsWith('.dmtcp')) && !names.some((name) => name.endsWith('.temp'));
  }

  /** DMTCP gives an image its name when all of it is written. */
  async #whole(signal: AbortSignal): Promise<string> {
    const progress = new Progress();
    for (;;) {
      signal.throwIfAborted();
      const names = await readdir(this.#target);
      const whole = names.filter((name) => name.endsWith('.dmtcp'));
      const [image] = whole;
      const unfinished = names.some((name) => name.endsWith('.temp'));
      if (image !== undefined && whole.length === 1 && !unfinished) return join(this.#target, image);
      if (whole.length > 1) throw this.#say(`DMTCP has written several images: ${whole.join(', ')}`);
      progress.note(this.#guest, await this.written());
      if (progress.stalled) throw this.#say(`DMTCP has written no image into ${this.#target}`);
      await delay(POLL_MS);
    }
  }

  #say(words: string): StillwireError {
    return new StillwireError('GUEST_FAILED', `guest ${this.#guest}: ${words}`, { guest: this.#guest });
  }
}

/** Moves a file, over the border of file systems if need be; never over another. */
async function move(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EXDEV' && code !== 'EPERM') throw error;
    await copyFile(from, to, constants.COPYFILE_EXCL);
  }
  await rm(from);
}
