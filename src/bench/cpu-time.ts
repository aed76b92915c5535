/**
 * Processor time of whoever carries frames: user and system time of its processes with all their threads, and that of the
 * kernel's ksoftirqd threads of the processors it runs on, which do what is left over of its work. Read from /proc/PID/stat
 * (proc_pid_stat(5)) in ticks of 10 ms. Interrupt work done while a process runs is in that process's time (on a kernel
 * without CONFIG_IRQ_TIME_ACCOUNTING, as Debian's), so a receiving stack that runs in the carrier's own write counts.
 */
import { readdirSync, readFileSync } from 'node:fs';

const NS_PER_TICK = 1e9 / 100; // USER_HZ, the same on every architecture we run on

/** utime and stime are fields 14 and 15; the second field, the name, may contain anything. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** `0`, `0-1` as numbers. */
function cpusOf(list: string): number[] {
  const [first, last = first] = list.split('-').map(Number);
  return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
}

/** Process numbers of ksoftirqd of these processors. */
export function softirqThreads(cpus: string): number[] {
  const wanted = new Set(cpusOf(cpus).map((cpu) => `ksoftirqd/${cpu}`));
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && wanted.has(nameOf(pid)));
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1').trim();
  } catch {
    return ''; // it has just ended
  }
}

/** Nanoseconds that these processes have had so far. */
export const cpuNs = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + ticksOf(pid) * NS_PER_TICK, 0);
