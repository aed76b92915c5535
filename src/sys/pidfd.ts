/**
 * Processes that we did not start, by pidfd (pidfd_open(2), kernel 5.6): a descriptor that stands for one process for
 * good. A pid alone may be another's by the time it is used; whoever holds a pidfd cannot hit a stranger.
 *
 * The numbers of these calls are the same on every architecture (they are later than the unification of 5.1).
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { StillwireError } from '../errors/index.js';
import { closeFd, isReadable } from './fd.js';
import { check, errno, native, systemError } from './libc.js';

const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
const SIGKILL = 9;
const ESRCH = 3;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

const cSyscall = native<[number, number, number, number, number]>(
  'long syscall(long number, long a, long b, long c, long d)',
);
const cGetsockopt = native<[number, number, number, Uint8Array, Uint8Array]>(
  'int getsockopt(int fd, int level, int name, void *value, void *length)',
);

/** PF_EXITING (linux/sched.h): it is past what it could do. */
const PF_EXITING = 0x4;

/** Fields of proc_pid_stat(5) from the third; undefined when there is no such process. */
function statOf(pid: number): string[] | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The program's name, in parentheses, may contain anything; fields are counted from behind it.
    return line.slice(line.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Whether a process has ended or is about to, which it is before its descriptors are closed. */
export function isEnding(pid: number): boolean {
  const fields = statOf(pid);
  if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') return true;
  return (Number(fields[9 - 3]) & PF_EXITING) !== 0;
}

/**
 * When a process began, in clock ticks since boot (proc_pid_stat(5), field 22): with its pid it is one process in the
 * life of the machine. Undefined when it has ended.
 */
export function startTimeOf(pid: number): string | undefined {
  const fields = statOf(pid);
  if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return fields[22 - 3];
}

/**
 * A descriptor of the process `pid`, close-on-exec.
 * @param startTime of {@link startTimeOf}; given, the descriptor is of that very process
 * @returns undefined when there is no such process
 * @throws StillwireError SYSCALL
 */
export function openPidfd(pid: number, startTime?: string): number | undefined {
  const fd = cSyscall(SYS_PIDFD_OPEN, pid, 0, 0, 0);
  if (fd < 0) {
    if (errno() === ESRCH) return undefined;
    throw systemError(errno(), 'pidfd_open', `process ${pid}`);
  }
  // The descriptor pins the process, so what its pid says after the opening is said of it.
  if (startTime === undefined || startTimeOf(pid) === startTime) return fd;
  closeFd(fd);
  return undefined;
}

/** Whether the process has ended (a zombie has). */
export const hasEnded = (pidfd: number): boolean => isReadable(pidfd);

/** SIGKILL to the process; one that has ended is no error. @throws StillwireError NO_PRIVILEGE, SYSCALL */
export function killByPidfd(pidfd: number): void {
  if (cSyscall(SYS_PIDFD_SEND_SIGNAL, pidfd, SIGKILL, 0, 0) >= 0) return;
  if (errno() !== ESRCH) throw systemError(errno(), 'pidfd_send_signal');
}

/**
 * A duplicate, close-on-exec, of descriptor `fd` of another process. Needs what ptrace(2) needs: the same user and a
 * process that is no stranger to Yama, or CAP_SYS_PTRACE.
 * @throws StillwireError NO_PRIVILEGE; SYSCALL, with errno EBADF when the process has closed it meanwhile
 */
export const takeFd = (pidfd: number, fd: number): number =>
  check(cSyscall(SYS_PIDFD_GETFD, pidfd, fd, 0, 0), 'pidfd_getfd', `fd ${fd}`);

/**
 * Numbers of the descriptors of process `pid` that were opened on `path`, ascending.
 * @throws StillwireError NO_PRIVILEGE when the process is not ours to look at; SYSCALL when it has ended
 */
export function fdsOpenOn(pid: number, path: string): number[] {
  const directory = `/proc/${pid}/fd`;
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    const { code = '?' } = error as NodeJS.ErrnoException;
    const kind = code === 'EACCES' || code === 'EPERM' ? 'NO_PRIVILEGE' : 'SYSCALL';
    throw new StillwireError(kind, `readdir ${directory}: ${code}`, { errno: code }, error);
  }
  const leadsTo = (name: string): string => {
    try {
      return readlinkSync(`${directory}/${name}`);
    } catch {
      return ''; // closed while we looked
    }
  };
  return names
    .filter((name) => leadsTo(name) === path)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Who is at the other end of a connected unix socket: for a client, the process that called listen(2). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** SO_PEERCRED of unix(7). @throws StillwireError SYSCALL */
export function peerCredentials(socket: number): PeerCredentials {
  const value = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(value.length);
  check(cGetsockopt(socket, SOL_SOCKET, SO_PEERCRED, value, length), 'getsockopt', 'SO_PEERCRED');
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}
