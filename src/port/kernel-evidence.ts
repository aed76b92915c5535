/**
 * What the kernel shows of a port's two ways, beyond the frames themselves: the material of `count`. It is a part of
 * its own so that it can be left out: a port must carry its frames, and `cookie` must prove its cut, without any of it.
 *
 * The window's own look at the ring (TapPort) is not among it: that is flow control, and proves nothing to anybody.
 */
import {
  isReadable,
  takePacketCounts,
  unsentBytes,
  type LinkCounters,
  type LinkStatistics,
  type PacketCounts,
} from '../sys/index.js';

export interface KernelEvidence {
  /** Whether what it shows is so. */
  readonly real: boolean;
  /** Of the device with this index. */
  counters(index: number): LinkCounters;
  /** What the packet socket has counted since the last call. */
  packetCounts(fd: number): PacketCounts;
  /** Bytes in the qdisc. */
  unsentBytes(fd: number): number;
  /** Whether the reader of the TAP has read everything. */
  ringEmpty(tunFd: number): boolean;
}

export const observedKernel = (statistics: LinkStatistics): KernelEvidence => ({
  real: true,
  counters: (index) => statistics.read(index),
  packetCounts: takePacketCounts,
  unsentBytes,
  ringEmpty: (tunFd) => !isReadable(tunFd),
});

/** A kernel that shows nothing: each answer is a random one, of the right shape. For tests. */
export function absentKernel(): KernelEvidence {
  let last = 0;
  const some = (): number => 1 + Math.floor(Math.random() * 100);
  const more = (): number => (last += 1000 * some()); // a counter never goes back, nor counts less than was dropped
  return {
    real: false,
    counters: () => ({ rxPackets: more(), txPackets: more(), rxDropped: more(), txDropped: more() }),
    packetCounts: () => ({ handed: 100 + some(), dropped: some() }),
    unsentBytes: some,
    ringEmpty: () => Math.random() < 0.5,
  };
}
