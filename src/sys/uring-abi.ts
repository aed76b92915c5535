/** Numbers of io_uring's interface (uapi/linux/io_uring.h), as far as they are used here. */

export const SYS_SETUP = 425;
export const SYS_ENTER = 426;
export const SYS_REGISTER = 427;

/** Goes on with the rest when one request of a batch is refused as malformed. 5.18. */
const SETUP_SUBMIT_ALL = 1 << 7;
const SETUP_CQSIZE = 1 << 3;
/** One thread submits: nothing needs a lock. 6.0. */
const SETUP_SINGLE_ISSUER = 1 << 12;
/** The kernel does what is pending only while that thread waits, never in between. 6.1. */
const SETUP_DEFER_TASKRUN = 1 << 13;
export const SETUP_FLAGS = SETUP_SUBMIT_ALL | SETUP_CQSIZE | SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN;

export const ENTER_GETEVENTS = 1;
export const ENTER_EXT_ARG = 8;

export const REGISTER_BUFFERS = 0;
export const REGISTER_FILES_UPDATE = 6;
export const REGISTER_FILES2 = 13;
export const FILES_SPARSE = 1;

export const OP_READ_FIXED = 4;
export const OP_WRITE_FIXED = 5;
export const OP_POLL_ADD = 6;
export const OP_ASYNC_CANCEL = 14;
export const OP_READ = 22;
export const OP_WRITE = 23;
/** The descriptor is a place in the table of registered files. */
export const SQE_FIXED_FILE = 1;
/** Of a read or write: -EAGAIN rather than waiting, now or later. */
export const RWF_NOWAIT = 8;
export const POLLIN = 1;

export const OFFSET_SQ_RING = 0;
export const OFFSET_SQES = 0x10000000;

/** struct io_uring_params: 120 bytes. Its words, by index. */
export const PARAMS = {
  bytes: 120,
  sqEntries: 0,
  cqEntries: 1,
  flags: 2,
  // struct io_sqring_offsets at 40
  sqTail: 11,
  sqMask: 12,
  sqArray: 16,
  // struct io_cqring_offsets at 80
  cqHead: 20,
  cqTail: 21,
  cqMask: 22,
  cqes: 25,
} as const;

/** struct io_uring_sqe: 16 words. */
export const SQE_BYTES = 64;
/** struct io_uring_cqe: 4 words. */
export const CQE_BYTES = 16;
