/**
 * Memory that the kernel and JavaScript share: mapped once, never moved, never collected while in use. The hot path
 * hands out addresses into it and never allocates.
 */
import { check, native, systemError, errno, viewOf } from './libc.js';

const mmap = native<[number, number, number, number, number, number]>(
  'intptr_t mmap(intptr_t addr, size_t length, int prot, int flags, int fd, long offset)',
);
const munmap = native<[number, number]>('int munmap(intptr_t address, size_t length)');
const PROT_READ_WRITE = 3;
const MAP_SHARED_POPULATE = 0x8001;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_32BIT = 0x40;

export interface Arena {
  readonly address: number;
  readonly bytes: Buffer;
}

/**
 * Maps `length` zeroed bytes for the life of the process. Untouched pages cost nothing. Low in the address space where
 * there is room: such addresses are small integers, and passing them on allocates nothing (a larger one is boxed).
 */
export function mapArena(length: number): Arena {
  const address = mapLow(length, MAP_PRIVATE_ANONYMOUS, -1, 0);
  if (address === -1) throw systemError(errno(), 'mmap', `${length} bytes`);
  return { address, bytes: Buffer.from(viewOf(address, length)) };
}

function mapLow(length: number, flags: number, fd: number, offset: number): number {
  const low = mmap(0, length, PROT_READ_WRITE, flags | MAP_32BIT, fd, offset);
  return low === -1 ? mmap(0, length, PROT_READ_WRITE, flags, fd, offset) : low;
}

const memcpy = native<[number, number, number]>('void memcpy(intptr_t to, intptr_t from, size_t length)');
const madvise = native<[number, number, number]>('int madvise(intptr_t address, size_t length, int advice)');
const MADV_DONTNEED = 4;

/** Copies between arenas by address: no view is made, nothing is allocated. */
export function copyMemory(to: number, from: number, length: number): void {
  memcpy(to, from, length);
}

/** Gives the pages of an arena back; it reads as zeroes afterwards. */
export function emptyArena({ address, bytes }: Arena): void {
  check(madvise(address, bytes.length, MADV_DONTNEED), 'madvise');
}

/** Writes a 64-bit pointer or size, little-endian, without a BigInt. */
export function putPointer(target: Buffer, offset: number, value: number): void {
  target.writeUInt32LE(value % 0x1_0000_0000, offset);
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}

/** Memory of a descriptor's, shared with the kernel; low, too. */
export interface Mapping {
  readonly address: number;
  readonly memory: ArrayBuffer;
}

export function mapOf(fd: number, length: number, offset: number): Mapping {
  const address = mapLow(length, MAP_SHARED_POPULATE, fd, offset);
  if (address === -1) throw systemError(errno(), 'mmap', `fd ${fd}`);
  return { address, memory: viewOf(address, length) };
}

/** Its memory is not to be touched any more. */
export function unmap({ address, memory }: Mapping): void {
  check(munmap(address, memory.byteLength), 'munmap');
}
