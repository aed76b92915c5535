/** Who lives in a network namespace. A daemon's main thread does not, its switch thread does: all threads are asked. */
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { namespacePath } from '../sys/index.js';

const quietly = <T>(look: () => T): T | undefined => {
  try {
    return look();
  } catch {
    return undefined; // ended while we looked, or not ours to see
  }
};

/** Whether any thread of any process is in the namespace; false when there is no such namespace. */
export function namespaceInUse(name: string): boolean {
  const file = quietly(() => statSync(namespacePath(name)));
  if (file === undefined) return false;
  const wanted = `net:[${file.ino}]`;
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .some((pid) =>
      (quietly(() => readdirSync(`/proc/${pid}/task`)) ?? []).some(
        (thread) => quietly(() => readlinkSync(`/proc/${pid}/task/${thread}/ns/net`)) === wanted,
      ),
    );
}
