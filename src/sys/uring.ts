/**
 * io_uring(7), for one thread that alone submits and reaps: many reads or writes in one system call, and waiting.
 *
 * The rings are memory that the kernel maps for us. With SINGLE_ISSUER and DEFER_TASKRUN it touches them only while
 * this thread is inside io_uring_enter(2). So nobody ever looks at them at the same time, plain loads and stores are
 * enough, and when a call has returned nothing happens before the next.
 *
 * Two uses share one ring:
 *
 *   batch   read() and write() collect requests, run() executes them in order and knows the result of each. They carry
 *           RWF_NOWAIT: a request that cannot be done at once ends with -EAGAIN. None is ever left behind in the kernel,
 *           so what is not in `results` has not happened, and what is has.
 *   watch   watch() asks once whether a descriptor is readable, wait() waits for the first. Whoever wants to be told
 *           again asks again, so what is not read away tells again. It costs no call: requests go along with the next.
 *
 * A watch and a registered file hold the open file, as a descriptor does: a device is gone only when both are.
 */
import { check, EAGAIN, EBUSY, EINTR, errno, ETIME, native, systemError } from './libc.js';
import { closeFd } from './fd.js';
import { mapArena, mapOf, putPointer, unmap, type Arena, type Mapping } from './memory.js';
import * as Abi from './uring-abi.js';

/** Requests of one batch, at most. */
export const MAX_BATCH = 64;
/** Tags are numbers below this. */
export const MAX_TAGS = 2048;
/** Files registered at a time, at most. */
const MAX_FILES = 1024;
const SQ_ENTRIES = 256;
/** Room for an answer to everything that can be under way: completions never overflow. */
const CQ_ENTRIES = 4096;
const SQE_WORDS = Abi.SQE_BYTES / 4;

const READ = Abi.OP_READ + Abi.SQE_FIXED_FILE * 0x100;
const WRITE = Abi.OP_WRITE + Abi.SQE_FIXED_FILE * 0x100;
/** Of pinned memory. */
const READ_FIXED = Abi.OP_READ_FIXED + Abi.SQE_FIXED_FILE * 0x100;
const WRITE_FIXED = Abi.OP_WRITE_FIXED + Abi.SQE_FIXED_FILE * 0x100;

/** High word of user_data: what was asked. The low word is a place in the batch, or a tag. */
const BATCH = 0;
const WATCH = 1;
const CANCEL = 2;

const cSetup = native<[number, number, number]>(
  'long syscall(long number, unsigned int entries, intptr_t params)',
);
const cEnter = native<[number, number, number, number, number, number, number]>(
  'int syscall(long number, unsigned int fd, unsigned int submit, unsigned int complete, unsigned int flags, intptr_t argument, size_t size)',
);
const cRegister = native<[number, number, number, number, number]>(
  'int syscall(long number, unsigned int fd, unsigned int operation, intptr_t argument, unsigned int count)',
);

/** io_uring_setup(2): a descriptor, or -1 and errno. */
export type RingSetup = (entries: number, params: number) => number;
const systemSetup: RingSetup = (entries, params) => cSetup(Abi.SYS_SETUP, entries, params);

export class Ring {
  /** What came of the requests of the last batch, in order: as the system call of that name, -errno for a failure. */
  readonly results = new Int32Array(MAX_BATCH);
  readonly #fd: number;
  /** Where memory is pinned. */
  #pinnedFrom = 0;
  #pinnedTo = 0;
  readonly #ring: Mapping;
  readonly #requests: Mapping;
  readonly #words: Int32Array;
  readonly #sqes: Int32Array;
  readonly #sqMask: number;
  readonly #sqTail: number;
  readonly #array: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  /** struct io_uring_getevents_arg at 0, struct __kernel_timespec at 32, arguments of io_uring_register(2) at 64. */
  readonly #arguments = mapArena(128);
  /** Where the next single request lies: behind those of a batch. */
  #single = MAX_BATCH;
  #tail = 0;
  #head = 0;
  #queued = 0;
  #batch = 0;
  #answered = 0;
  #cancelled = 0;
  readonly #armed = new Uint8Array(MAX_TAGS);
  readonly #ready = new Int32Array(MAX_TAGS);
  #readyCount = 0;
  readonly #freeFiles = Array.from({ length: MAX_FILES }, (_, i) => MAX_FILES - 1 - i);

  /**
   * @param setup for tests: another kernel
   * @throws StillwireError SYSCALL, NO_PRIVILEGE: the kernel has no io_uring, an old one (before 6.1), or forbids it
   */
  constructor(setup: RingSetup = systemSetup) {
    const params = mapArena(Abi.PARAMS.bytes);
    const word = new Int32Array(params.bytes.buffer, params.bytes.byteOffset);
    word[Abi.PARAMS.cqEntries] = CQ_ENTRIES;
    word[Abi.PARAMS.flags] = Abi.SETUP_FLAGS;
    this.#fd = check(setup(SQ_ENTRIES, params.address), 'io_uring_setup');
    const at = (name: keyof typeof Abi.PARAMS): number => word[Abi.PARAMS[name]]!;
    const entries = at('sqEntries');
    const mapped: Mapping[] = [];
    try {
      // Submissions and completions lie in one mapping (IORING_FEAT_SINGLE_MMAP, 5.4); the completions behind.
      const ringBytes = Math.max(at('cqes') + at('cqEntries') * Abi.CQE_BYTES, at('sqArray') + entries * 4);
      mapped.push((this.#ring = mapOf(this.#fd, ringBytes, Abi.OFFSET_SQ_RING)));
      mapped.push((this.#requests = mapOf(this.#fd, entries * Abi.SQE_BYTES, Abi.OFFSET_SQES)));
      this.#words = new Int32Array(this.#ring.memory);
      this.#sqes = new Int32Array(this.#requests.memory);
      this.#registerTable();
      this.#enter(0, Abi.ENTER_GETEVENTS); // a sandbox may forbid this call alone
    } catch (error) {
      for (const each of mapped) unmap(each);
      closeFd(this.#fd);
      throw error;
    }
    this.#sqTail = at('sqTail') >> 2;
    this.#sqMask = this.#words[at('sqMask') >> 2]!;
    this.#cqHead = at('cqHead') >> 2;
    this.#cqTail = at('cqTail') >> 2;
    this.#cqMask = this.#words[at('cqMask') >> 2]!;
    this.#cqes = at('cqes') >> 2;
    this.#array = at('sqArray') >> 2;
    for (let i = 0; i < MAX_BATCH; i++) {
      this.#sqes[i * SQE_WORDS + 7] = Abi.RWF_NOWAIT;
      this.#sqes[i * SQE_WORDS + 8] = i;
      this.#sqes[i * SQE_WORDS + 9] = BATCH;
    }
  }

  /**
   * Keeps an arena in memory, so that reads into it and writes from it need not look its pages up: once in a ring's life. Its
   * pages may not be given back from then on. Who may not pin so much (RLIMIT_MEMLOCK) goes without.
   */
  pin({ address, bytes }: Arena): void {
    if (this.#pinnedTo > 0) return;
    const argument = this.#arguments.bytes; // struct iovec
    argument.fill(0, 64);
    putPointer(argument, 64, address);
    putPointer(argument, 72, bytes.length);
    if (this.#register(Abi.REGISTER_BUFFERS, 1) < 0) return;
    this.#pinnedFrom = address;
    this.#pinnedTo = address + bytes.length;
  }

  #isPinned(address: number, length: number): boolean {
    return address >= this.#pinnedFrom && address + length <= this.#pinnedTo;
  }

  #register(operation: number, count: number): number {
    return cRegister(Abi.SYS_REGISTER, this.#fd, operation, this.#arguments.address + 64, count);
  }

  /** An empty table of files. */
  #registerTable(): void {
    const argument = this.#arguments.bytes; // struct io_uring_rsrc_register
    argument.fill(0, 64);
    argument.writeUInt32LE(MAX_FILES, 64);
    argument.writeUInt32LE(Abi.FILES_SPARSE, 68);
    check(this.#register(Abi.REGISTER_FILES2, 32), 'io_uring_register', 'a table of files');
  }

  #setFile(place: number, fd: number): void {
    const argument = this.#arguments; // struct io_uring_rsrc_update, and the descriptor behind it
    argument.bytes.fill(0, 64);
    argument.bytes.writeUInt32LE(place, 64);
    putPointer(argument.bytes, 72, argument.address + 96);
    argument.bytes.writeInt32LE(fd, 96);
    check(this.#register(Abi.REGISTER_FILES_UPDATE, 1), 'io_uring_register', `fd ${fd}`);
  }

  /** Registers the open file of a descriptor, for {@link read} and {@link write}; its place. At most 1024 at a time. */
  addFile(fd: number): number {
    const place = this.#freeFiles.pop();
    if (place === undefined) throw systemError(EBUSY, 'io_uring_register', `fd ${fd}`);
    this.#setFile(place, fd);
    return place;
  }

  removeFile(place: number): void {
    this.#setFile(place, -1);
    this.#freeFiles.push(place);
  }

  /** Puts the request that lies at `place` of the requests next in line. */
  #enqueue(place: number): void {
    this.#words[this.#array + (this.#tail & this.#sqMask)] = place;
    this.#tail = (this.#tail + 1) | 0;
    this.#queued++;
  }

  /** A request that is not of a batch; its words begin at what is returned. */
  #request(operation: number, fd: number, what: number, kind: number): number {
    if (this.#single === SQ_ENTRIES || this.#queued === SQ_ENTRIES) this.#submit();
    const at = this.#single * SQE_WORDS;
    this.#sqes.fill(0, at, at + SQE_WORDS);
    this.#sqes[at] = operation;
    this.#sqes[at + 1] = fd;
    this.#sqes[at + 8] = what;
    this.#sqes[at + 9] = kind;
    this.#enqueue(this.#single++);
    return at;
  }

  /** Request `i` of a batch lies at place `i`, where all but this is as it was made ({@link constructor}). */
  #transfer(operation: number, file: number, address: number, length: number): void {
    const sqes = this.#sqes;
    const at = this.#batch * SQE_WORDS;
    sqes[at] = operation;
    sqes[at + 1] = file;
    sqes[at + 4] = address; // what does not fit into 32 bits is cut off
    sqes[at + 5] = address > 0xffff_ffff ? Math.floor(address / 0x1_0000_0000) : 0;
    sqes[at + 6] = length;
    this.#enqueue(this.#batch++);
  }

  /** Adds a read(2) of `length` bytes to the batch. */
  read(file: number, address: number, length: number): void {
    this.#transfer(this.#isPinned(address, length) ? READ_FIXED : READ, file, address, length);
  }

  /** Adds a write(2) to the batch. */
  write(file: number, address: number, length: number): void {
    this.#transfer(this.#isPinned(address, length) ? WRITE_FIXED : WRITE, file, address, length);
  }

  /** Executes the batch; when it returns, every request of it has ended and {@link results} says how. */
  run(): void {
    this.#submit();
    this.#reap();
    while (this.#answered < this.#batch) {
      this.#enter(this.#batch - this.#answered, Abi.ENTER_GETEVENTS);
      this.#reap();
    }
    this.#batch = this.#answered = 0;
  }

  /** Tells `tag`, once, when `fd` is readable or broken. */
  watch(fd: number, tag: number): void {
    const at = this.#request(Abi.OP_POLL_ADD, fd, tag, WATCH);
    this.#sqes[at + 7] = Abi.POLLIN;
    this.#armed[tag] = 1;
  }

  #isArmed(tag: number): boolean {
    return this.#armed[tag] === 1;
  }

  /** `tag` is told no more, and what it was watched on is let go. */
  unwatch(tag: number): void {
    if (this.#isArmed(tag)) {
      const at = this.#request(Abi.OP_ASYNC_CANCEL, -1, tag, CANCEL);
      this.#sqes[at + 4] = tag;
      this.#sqes[at + 5] = WATCH;
      const cancelled = this.#cancelled + 1;
      while (this.#cancelled < cancelled || this.#isArmed(tag)) {
        this.#enter(1, Abi.ENTER_GETEVENTS);
        this.#reap();
      }
    }
    let kept = 0;
    for (let i = 0; i < this.#readyCount; i++) {
      if (this.#ready[i] !== tag) this.#ready[kept++] = this.#ready[i]!;
    }
    this.#readyCount = kept;
  }

  /** Waits at most `microseconds` (negative: for ever) and fills `tags`; how many can be read. */
  wait(microseconds: number, tags: Int32Array): number {
    const wanted = this.#readyCount > 0 || microseconds === 0 ? 0 : 1;
    if (wanted === 1 && microseconds > 0) this.#enterFor(microseconds);
    else this.#enter(wanted, Abi.ENTER_GETEVENTS);
    this.#reap();
    const count = Math.min(this.#readyCount, tags.length);
    for (let i = 0; i < count; i++) tags[i] = this.#ready[i]!;
    this.#readyCount -= count;
    this.#ready.copyWithin(0, count, count + this.#readyCount);
    return count;
  }

  /** Submits what is queued. */
  #submit(): void {
    while (this.#queued > 0) this.#enter(0, 0);
  }

  #enterFor(microseconds: number): void {
    const { bytes, address } = this.#arguments;
    putPointer(bytes, 16, address + 32);
    bytes.writeUInt32LE(Math.floor(microseconds / 1_000_000), 32);
    bytes.writeUInt32LE((microseconds % 1_000_000) * 1000, 40);
    this.#enter(1, Abi.ENTER_GETEVENTS | Abi.ENTER_EXT_ARG, address, 24);
  }

  /** Submits what is queued, and waits for `complete` completions; less when interrupted or timed out. */
  #enter(complete: number, flags: number, argument = 0, size = 0): void {
    this.#words[this.#sqTail] = this.#tail;
    const result = cEnter(Abi.SYS_ENTER, this.#fd, this.#queued, complete, flags, argument, size);
    if (result >= 0) {
      this.#queued -= result;
      if (this.#queued === 0) this.#single = MAX_BATCH;
      return;
    }
    const code = errno();
    if (code === EAGAIN || code === EBUSY)
      this.#reap(); // short of memory, or of room for completions: again
    else if (code !== EINTR && code !== ETIME) throw systemError(code, 'io_uring_enter');
  }

  #reap(): void {
    const words = this.#words;
    const tail = words[this.#cqTail]!;
    let head = this.#head;
    while (head !== tail) {
      const at = this.#cqes + (head & this.#cqMask) * 4;
      const what = words[at]!;
      const kind = words[at + 1];
      if (kind === BATCH) {
        this.results[what] = words[at + 2]!;
        this.#answered++;
      } else if (kind === WATCH) {
        this.#armed[what] = 0;
        this.#ready[this.#readyCount++] = what;
      } else this.#cancelled++;
      head = (head + 1) | 0;
    }
    words[this.#cqHead] = this.#head = head;
  }

  /** Nothing may be used any more. Whoever watches unwatches before, or files stay open for a while yet. */
  close(): void {
    unmap(this.#ring);
    unmap(this.#requests);
    closeFd(this.#fd);
  }
}
