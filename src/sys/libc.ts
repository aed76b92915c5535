/**
 * The one door to native code. Each function is declared once with its C prototype; pointer arguments that the hot
 * path passes as numbers are declared `intptr_t`, so that koffi neither allocates nor looks anything up.
 *
 * koffi has no `ssize_t`; `long` is the same on every Linux we support (LP64).
 */
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { StillwireError, type ErrorCode } from '../errors/index.js';

type Argument = number | string | Uint8Array | null;

const libc = koffi.load(null);

/** Declares a libc function returning a number; -1 and errno mean failure by libc's custom. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- only the prototype knows them
export function native<A extends Argument[]>(prototype: string): (...args: A) => number {
  return libc.func(prototype) as (...args: A) => number;
}

/** As {@link native}, but runs on another thread; resolves with the number. errno is not to be had. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- only the prototype knows them
export function nativeAsync<A extends Argument[]>(prototype: string): (...args: A) => Promise<number> {
  const call = libc.func(prototype) as unknown as { async: (...args: unknown[]) => void };
  return (...args) =>
    new Promise((resolve, reject) => {
      call.async(...args, (error: Error | null, result: number) => (error ? reject(error) : resolve(result)));
    });
}

/** errno of the last native call on this thread. */
export const errno = (): number => koffi.errno();

/** Such as `ENOSPC`. */
export function errnoName(code: number): string {
  try {
    return getSystemErrorName(-code);
  } catch {
    return `errno ${code}`;
  }
}

/** Address of a buffer outside the JavaScript heap. It stays valid as long as the buffer is reachable. */
export const addressOf = (buffer: Uint8Array): number => Number(koffi.address(buffer));

/** A view of `length` bytes of native memory. */
export const viewOf = (address: number, length: number): ArrayBuffer => koffi.view(address, length);

/**
 * Returns `result` when it is not negative.
 * @throws StillwireError SYSCALL (or NO_PRIVILEGE on EPERM and EACCES) naming the call and what it was about
 */
export function check(result: number, call: string, about = ''): number {
  if (result >= 0) return result;
  throw systemError(errno(), call, about);
}

/** Folds "not now" to 0 and any other failure to -errno; for the hot path, where neither is an error. */
export function settle(result: number): number {
  if (result >= 0) return result;
  const code = errno();
  return code === EAGAIN || code === EINTR ? 0 : -code;
}

/** The error for a failed call. */
export function systemError(code: number, call: string, about = ''): StillwireError {
  const name = errnoName(code);
  const kind: ErrorCode = name === 'EPERM' || name === 'EACCES' ? 'NO_PRIVILEGE' : 'SYSCALL';
  return new StillwireError(kind, `${call}${about === '' ? '' : ` ${about}`}: ${name}`, {
    call,
    errno: name,
  });
}

export const EPERM = 1;
export const EAGAIN = 11;
export const EBUSY = 16;
export const ETIME = 62;
export const EINTR = 4;
export const EINVAL = 22;
export const EBADFD = 77;
export const ENOBUFS = 105;
export const EMSGSIZE = 90;
export const EADDRINUSE = 98;
export const ECONNREFUSED = 111;
