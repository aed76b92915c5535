/** What this process may do, by the capabilities it holds effectively (proc_pid_status(5), linux/capability.h). */
import { readFileSync } from 'node:fs';

const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;
const CAP_SYS_ADMIN = 21n;

let answer: boolean | undefined;

/** Whether this process can make namespaces, TAPs and packet sockets: CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW. */
export function mayMakeDevices(): boolean {
  answer ??= holds(CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN);
  return answer;
}

function holds(...capabilities: readonly bigint[]): boolean {
  const [, mask = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  const held = BigInt(`0x${mask}`);
  return capabilities.every((bit) => (held & (1n << bit)) !== 0n);
}
