/**
 * How soon a thread that wakes up gets a processor (sched(7), kernel/sched/fair.c).
 *
 * Two wishes that work together: a shorter slice than that of the one who runs lets a thread that wakes take its place
 * at once (PREEMPT_SHORT, Linux 6.12), as long as it has not had its share; a lower nice value makes the share larger.
 */
import { getPriority } from 'node:os';
import { native } from './libc.js';
import { mapArena, putPointer } from './memory.js';

/** sched_setattr(2), of which the C library knows only since glibc 2.41. */
const SYS_SCHED_SETATTR: Readonly<Record<string, number | undefined>> = { x64: 314, arm64: 274 };
/** struct sched_attr as it was at first: size, policy, flags 8, nice 16, priority 20, runtime 24, deadline, period. */
const ATTR_BYTES = 48;
const SCHED_OTHER = 0;
const PRIO_PROCESS = 0;

const cSchedSetattr = native<[number, number, number, number]>(
  'long syscall(long number, int thread, intptr_t attributes, unsigned int flags)',
);
/** Of a thread, on Linux, whatever POSIX says. */
const cSetpriority = native<[number, number, number]>(
  'int setpriority(int which, unsigned int who, int nice)',
);
const cSchedGetscheduler = native<[number]>('int sched_getscheduler(int thread)');

const attributes = mapArena(ATTR_BYTES);

/**
 * Asks for a place of the calling thread among those that share the processor fairly (SCHED_OTHER).
 * @param nice below the present one it takes CAP_SYS_NICE or an RLIMIT_NICE that allows it
 * @param sliceNs 0 for the kernel's own; a kernel before 6.12 takes no notice, nor does a sandbox that lets only nice values
 *   through (some containers')
 * @returns false when the kernel will not have it; then nothing has changed
 */
export function setScheduling(nice: number, sliceNs: number): boolean {
  const number = SYS_SCHED_SETATTR[process.arch];
  attributes.bytes.writeUInt32LE(ATTR_BYTES, 0);
  attributes.bytes.writeInt32LE(nice, 16);
  putPointer(attributes.bytes, 24, sliceNs);
  if (number !== undefined && cSchedSetattr(number, 0, attributes.address, 0) === 0) return true;
  return cSetpriority(PRIO_PROCESS, 0, nice) === 0;
}

/** The nice value of the calling thread; undefined where it is no longer among those that share fairly (chrt(1)). */
export const fairNice = (): number | undefined =>
  cSchedGetscheduler(0) === SCHED_OTHER ? getPriority() : undefined;
