/** Who is in a network namespace, by what /proc says. */
import { readdirSync, readlinkSync } from 'node:fs';

const quietly = <T>(look: () => T): T | undefined => {
  try {
    return look();
  } catch {
    return undefined; // ended while we looked
  }
};

/** Whether any thread of any process is in the namespace `net:[INODE]`: a switch thread is, its process is not. */
export function livesInNamespace(link: string): boolean {
  const processes = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return processes.some((pid) =>
    (quietly(() => readdirSync(`/proc/${pid}/task`)) ?? []).some(
      (thread) => quietly(() => readlinkSync(`/proc/${pid}/task/${thread}/ns/net`)) === link,
    ),
  );
}
