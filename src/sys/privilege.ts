/** What a process may do, by the capabilities it holds effectively (proc_pid_status(5), linux/capability.h). */
import { readFileSync } from 'node:fs';

/** For namespaces, TAPs and packet sockets. */
const NEEDED = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n, CAP_SYS_ADMIN: 21n } as const;

/** Those of CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW that the process of this /proc/PID/status does not hold. */
export function missingCapabilities(status: string): string[] {
  const [, mask = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  const held = BigInt(`0x${mask}`);
  return Object.entries(NEEDED)
    .filter(([, bit]) => (held & (1n << bit)) === 0n)
    .map(([name]) => name);
}

let answer: boolean | undefined;

/** Whether this process can make namespaces, TAPs and packet sockets. */
export function mayMakeDevices(): boolean {
  answer ??= missingCapabilities(readFileSync('/proc/self/status', 'latin1')).length === 0;
  return answer;
}
