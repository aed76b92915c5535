/**
 * A file in memory that outlives the process: mapped shared, so what has been stored in it is in the page cache with the
 * very store, whatever kills the process at the next instruction. No msync: that is against a crash of the machine.
 *
 * The address space is taken once, for the largest size the file may have, and nothing is ever moved. Behind it lies
 * only what has been reserved. To touch a page that is not would be SIGBUS, the end of the process: on a full file
 * system the kernel finds no page for it. So `bytes` is to be touched only where {@link MappedFile.reserve} said yes.
 */
import { rmSync, statfsSync } from 'node:fs';
import { errno, native, systemError, viewOf } from './libc.js';
import { closeFd, O_CREAT, O_EXCL, O_RDWR, openFd } from './fd.js';
import type { Arena } from './memory.js';

const cMmap = native<[number, number, number, number, number, number]>(
  'intptr_t mmap(intptr_t addr, size_t length, int prot, int flags, int fd, long offset)',
);
const cMunmap = native<[number, number]>('int munmap(intptr_t addr, size_t length)');
const cMadvise = native<[number, number, number]>('int madvise(intptr_t addr, size_t length, int advice)');
const cFallocate = native<[number, number, number, number]>(
  'int fallocate(int fd, int mode, long offset, long length)',
);
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
/** Makes the pages present, all at once; since 5.14. */
const MADV_POPULATE_WRITE = 23;
const PUNCH_HOLE_KEEP_SIZE = 0x2 | 0x1;

export class MappedFile implements Arena {
  readonly address: number;
  readonly bytes: Buffer;
  readonly #fd: number;

  /**
   * Creates the file, in place of any other, readable to its owner only.
   * @param most bytes it may ever have
   * @throws StillwireError SYSCALL, NO_PRIVILEGE
   */
  constructor(path: string, most: number) {
    rmSync(path, { force: true });
    this.#fd = openFd(path, O_RDWR | O_CREAT | O_EXCL);
    this.address = cMmap(0, most, PROT_READ_WRITE, MAP_SHARED, this.#fd, 0);
    if (this.address === -1) {
      const code = errno();
      closeFd(this.#fd);
      throw systemError(code, 'mmap', path);
    }
    this.bytes = Buffer.from(viewOf(this.address, most));
  }

  /** Makes `length` bytes from `offset` safe to touch; false when the file system has not the room, or cannot. */
  reserve(offset: number, length: number): boolean {
    if (cFallocate(this.#fd, 0, offset, length) !== 0) return false;
    cMadvise(this.address + offset, length, MADV_POPULATE_WRITE); // for speed: an older kernel refuses
    return true;
  }

  /** Gives back what was reserved; false when the file system cannot. */
  punch(offset: number, length: number): boolean {
    return cFallocate(this.#fd, PUNCH_HOLE_KEEP_SIZE, offset, length) === 0;
  }

  /** Bytes of the file system: all, and those still to be had. By the descriptor, for the file may be renamed. */
  space(): { readonly total: number; readonly free: number } {
    const { bsize, blocks, bavail } = statfsSync(`/proc/self/fd/${this.#fd}`);
    return { total: blocks * bsize, free: bavail * bsize };
  }

  /** The file stays; `bytes` is not to be touched any more. */
  close(): void {
    cMunmap(this.address, this.bytes.length);
    closeFd(this.#fd);
  }
}
