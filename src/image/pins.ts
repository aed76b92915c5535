/**
 * Files held open from before they are hashed until they are used, so that both times it is the same file. Between the
 * two its name may have come to mean another; not so the descriptor.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';

export class Pins {
  readonly #descriptors = new Map<string, number>();

  /** By path relative to the image. */
  get descriptors(): ReadonlyMap<string, number> {
    return this.#descriptors;
  }

  /** Opens files below `top`; one that cannot be opened is left out: hashing it will tell why. */
  open(top: string, paths: readonly string[]): void {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    for (const path of new Set(paths)) {
      try {
        this.#descriptors.set(path, openSync(join(top, path), flags));
      } catch {
        // Told by whoever hashes.
      }
    }
  }

  /** Opening this opens the same file anew, from its beginning (proc_pid_fd(5)). */
  path(relative: string): string | undefined {
    const fd = this.#descriptors.get(relative);
    return fd === undefined ? undefined : `/proc/self/fd/${fd}`;
  }

  close(): void {
    for (const fd of this.#descriptors.values()) closeSync(fd);
    this.#descriptors.clear();
  }
}
