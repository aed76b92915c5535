/** The TAPs that a running hypervisor reads and writes, as descriptors of our own. */
import { closeFd } from '../sys/fd.js';
import { fdsOpenOn, takeFd } from '../sys/pidfd.js';
import { TUN_DEVICE, tapFacts, tapNamespace, type TapFacts } from '../sys/tap.js';
import type { FoundProcess } from './found-process.js';

export interface FoundTap extends TapFacts {
  /** Our descriptor; whoever asked for it closes it. */
  readonly fd: number;
  /** The namespace its netdev is in, by inode. */
  readonly namespace: number;
}

/**
 * Duplicates of every TAP descriptor of the process, in the order of its own descriptors; of several on one single-queue
 * device only the first. One without a device (deleted beneath its holder) is left out.
 * @throws StillwireError NO_PRIVILEGE without CAP_SYS_PTRACE or CAP_NET_ADMIN; GUEST_DIED, SYSCALL when it has ended
 */
export function takeTaps(process: FoundProcess): FoundTap[] {
  const { pid, pidfd } = process;
  const taps: FoundTap[] = [];
  try {
    for (const theirs of fdsOpenOn(pid ?? 0, TUN_DEVICE)) {
      const fd = takeFd(pidfd, theirs);
      const tap = describe(fd);
      const known = tap && taps.some((other) => isSameQueue(tap, other));
      if (tap === undefined || known === true) closeFd(fd);
      else taps.push(tap);
    }
    return taps;
  } catch (error) {
    for (const { fd } of taps) closeFd(fd);
    throw error;
  }
}

function describe(fd: number): FoundTap | undefined {
  try {
    const facts = tapFacts(fd);
    return facts.tap ? { ...facts, fd, namespace: tapNamespace(fd) } : undefined;
  } catch {
    return undefined;
  }
}

const isSameQueue = (a: FoundTap, b: FoundTap): boolean =>
  !a.multiQueue && a.device === b.device && a.namespace === b.namespace;
