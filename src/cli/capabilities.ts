/** The capabilities a daemon needs, read from /proc/PID/status (proc(5)). */

/** Bits of linux/capability.h. */
const NEEDED = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n, CAP_SYS_ADMIN: 21n } as const;

/** Those that the process of this status file does not hold effectively. */
export function missingCapabilities(status: string): string[] {
  const [, mask = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  const held = BigInt(`0x${mask}`);
  return Object.entries(NEEDED)
    .filter(([, bit]) => (held & (1n << bit)) === 0n)
    .map(([name]) => name);
}
