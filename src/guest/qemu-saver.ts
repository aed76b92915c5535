/**
 * A guest's state files.
 *
 * A save creates its file and removes it again when it fails. One thing QEMU will not do: save a guest twice without
 * letting it run in between ("Can't migrate the vm that was paused due to previous migration"). That is the lot of a
 * guest its user has paused, from its second checkpoint on. Nothing in such a guest can have changed, so the second
 * file is a copy of the first: its descriptor is kept, whatever becomes of the name, until the guest runs. Where there is
 * none (it was a daemon before us that saved it, or the save was cancelled), that is told before anybody is stopped.
 *
 * Room for a state is made beforehand, outside the hold: the kernel then has no page to find and clear while guests stand
 * still, which is a third of the time, and nearly all of its spread.
 */
import { constants, fstatSync } from 'node:fs';
import { copyFile, rm } from 'node:fs/promises';
import { StillwireError } from '../errors/index.js';
import { closeFd, cutAtPosition, O_CREAT, O_EXCL, O_RDWR, openFd, reserve } from '../sys/fd.js';
import { ask, StatusAnswer } from './qemu-answers.js';
import { writeState } from './qemu-migration.js';
import type { QmpClient } from './qmp.js';

/** Of a large guest most pages are zero, and cost nothing in its state. */
const MOST_RESERVED_BYTES = 256 * 1024 * 1024;

export class StateSaver {
  readonly #qmp: QmpClient;
  readonly #guest: string;
  /** Size to expect: of the last state, or a guess. */
  #expected: number;
  /** A file made ready for the next save. */
  #prepared: { readonly file: string; readonly fd: number } | undefined;
  /** The last state written, as long as the guest has not run since. */
  #last: number | undefined;

  /** @param memory the guest's RAM in bytes */
  constructor(qmp: QmpClient, guest: string, memory: number) {
    this.#expected = Math.min(memory, MOST_RESERVED_BYTES);
    this.#qmp = qmp;
    this.#guest = guest;
    qmp.onEvent(({ event }) => {
      if (event === 'RESUME') this.#keep(undefined);
    });
    void qmp.closed.then(() => {
      this.#keep(undefined);
      this.#forget();
    });
  }

  /**
   * Makes `file`, which must not exist, with room for the state of the next save. Optional.
   * @returns lets the room go if no save has come; the file is the caller's to remove
   * @throws StillwireError SYSCALL when the file cannot be made; GUEST_FAILED when QEMU would not save it
   */
  async prepare(file: string): Promise<() => void> {
    this.#forget();
    if (await this.#isSaved()) {
      if (this.#last !== undefined) return () => undefined; // the next save is a copy
      const words =
        'QEMU has saved it, or begun to, since it last ran, and saves no guest twice: let it run once';
      throw new StillwireError('GUEST_FAILED', words, { guest: this.#guest });
    }
    const fd = openFd(file, O_RDWR | O_CREAT | O_EXCL, 0o600);
    this.#prepared = { file, fd };
    await reserve(fd, this.#expected); // where that is not to be had, QEMU finds the room as it writes
    return () => {
      if (this.#prepared?.fd === fd) this.#forget();
    };
  }

  #forget(): void {
    if (this.#prepared !== undefined) closeFd(this.#prepared.fd);
    this.#prepared = undefined;
  }

  /** The descriptor of `file`: the one made ready, or a new one. */
  #open(file: string): number {
    const prepared = this.#prepared;
    if (prepared?.file !== file) return openFd(file, O_RDWR | O_CREAT | O_EXCL, 0o600);
    this.#prepared = undefined;
    return prepared.fd;
  }

  /**
   * Saves the stopped guest's RAM and devices into `file`, which must not exist unless {@link prepare} made it; mode 0600, not synced.
   * @returns bytes written
   * @throws StillwireError GUEST_FAILED with QEMU's words; SYSCALL when the file cannot be made; GUEST_DIED; the
   *   signal's reason (INTERRUPTED when that is no StillwireError)
   */
  async save(file: string, signal: AbortSignal): Promise<number> {
    this.#throwIfAborted(signal);
    const last = await this.#unchanged();
    return last === undefined ? this.#write(file, signal) : this.#copy(last, file, signal);
  }

  /** Whether it stands as a save left it. */
  async #isSaved(): Promise<boolean> {
    const { status } = await ask(this.#qmp, StatusAnswer, 'query-status');
    return status === 'postmigrate';
  }

  /** The last state, if it still is the guest's. A RESUME comes before the answer to what we ask after it. */
  async #unchanged(): Promise<number | undefined> {
    return this.#last !== undefined && (await this.#isSaved()) ? this.#last : undefined;
  }

  async #write(file: string, signal: AbortSignal): Promise<number> {
    const fd = this.#open(file);
    let kept = false;
    try {
      await writeState(this.#qmp, this.#guest, fd, signal);
      const size = cutAtPosition(fd);
      this.#expected = size;
      this.#keep(fd);
      kept = true;
      this.#throwIfAborted(signal);
      return size;
    } catch (error) {
      await rm(file, { force: true });
      this.#throwIfAborted(signal); // what failed then, failed of it
      throw error;
    } finally {
      if (!kept) closeFd(fd);
    }
  }

  async #copy(from: number, file: string, signal: AbortSignal): Promise<number> {
    const { size } = fstatSync(from);
    try {
      await copyFile(`/proc/self/fd/${from}`, file, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST') await rm(file, { force: true });
      throw new StillwireError('SYSCALL', message, { guest: this.#guest, errno: code }, error);
    }
    if (signal.aborted) await rm(file, { force: true });
    this.#throwIfAborted(signal);
    return size;
  }

  #keep(fd: number | undefined): void {
    if (this.#last !== undefined) closeFd(this.#last);
    this.#last = fd;
  }

  #throwIfAborted({ aborted, reason }: AbortSignal): void {
    if (!aborted) return;
    if (reason instanceof StillwireError) throw reason;
    const guest = this.#guest;
    throw new StillwireError('INTERRUPTED', `guest ${guest}: saving was interrupted`, { guest }, reason);
  }
}
