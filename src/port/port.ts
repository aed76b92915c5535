/**
 * A Port: where frames enter and leave the network, and how it proves that a path is empty. Ports belong to the
 * switch thread; nothing here may block.
 */
import type { PortId } from '../frame/types.js';
import type { DownEvidence, PortKind, UpEvidence } from './evidence.js';
import type { FrameList } from './batch.js';

/** What was taken back from a port's reader, each as it is stored: virtio-net header, then the frame. */
export interface Unread {
  /**
   * What the reader had taken out of the ring and could not hand on, as far as that is known. It is a copy: the reader
   * throws the original away when it is stopped, and keeps it otherwise; {@link Port.readSinceRecall} tells which.
   */
  readonly taken: Buffer | undefined;
  /** What lay before the reader, oldest first; sentinels are among it. Nobody else can read it any more. */
  readonly ring: readonly Buffer[];
}

/** Of a port before which nothing ever lies. */
export const NOTHING_UNREAD: Unread = { taken: undefined, ring: [] };

export interface Port {
  readonly id: PortId;
  readonly kind: PortKind;
  /** Whether the kernel shows enough to prove both ways empty; if not, only an answered cookie can. */
  readonly kernelProof: boolean;
  /** It carries plain frames only: whole checksums, no super-frames. Absent: virtio-net headers travel with them. */
  readonly plain?: boolean;
  /** Bytes of an IP packet it carries at most; absent: whatever it is given. Longer frames are not given to it. */
  readonly mtu?: number | undefined;
  /** Its queue is soon full: frames must be received as they come. */
  readonly hasty?: boolean;
  /** Becomes readable when frames wait. */
  readonly receiveFd: number;

  /**
   * Fills `list` from its beginning with frames that wait, at most BURST of them, and fewer where they are long; how
   * many. Negative when the device is gone and nothing will ever come again.
   */
  receive(list: FrameList): number;

  /**
   * Sends frames of `list` beginning at `from`, in order; number `i` of the list as message `i` of a MessageVector, or
   * with `noteSent(i)` behind it: after a crash that tells what was sent.
   * @returns how many were taken; 0 when no more can be taken now (try again later); -errno when the first of them
   *   was refused for good and must be skipped
   */
  send(list: FrameList, from: number): number;

  /** Remembers the counters that {@link downEvidence} is measured against. */
  beginHold(): void;

  /**
   * Sends one sentinel behind everything sent so far, past the port's window.
   * @returns false when the port needs none or cannot take one
   */
  sendSentinel(list: FrameList): boolean;

  downEvidence(): DownEvidence;

  /**
   * Takes back what was sent and not read. Called while held, when sentinels were sent and the reader has not taken
   * them. Afterwards the ring is empty and the whole window free.
   */
  recall(): Unread;

  /**
   * Frames read since the last {@link recall}, by whoever reads. A hypervisor that delivers nothing reads one when it
   * is stopped, in place of the one it throws away, and none otherwise.
   */
  readSinceRecall(): number;

  /** To be asked when {@link receive} has just returned 0; `queueEmpty` says whether that still holds. */
  upEvidence(): UpEvidence;

  /** Looks whether the way in is still open, and opens it again. Absent: nothing can close it. Called every {@link INSPECT_MS}. */
  inspect?(): void;

  close(): void;
}

/** Milliseconds between two calls of {@link Port.inspect}: so long may frames be lost before it is noticed. */
export const INSPECT_MS = 25;

/** Upper bound of how many ring entries a frame may become: the kernel segments it when the device has no TSO. */
export function ringEntries(bytes: Buffer, slot: number, length: number): number {
  const gsoType = bytes[slot + 1]!;
  if (gsoType === 0) return 1;
  const size = bytes.readUInt16LE(slot + 4);
  return size === 0 ? 1 : Math.ceil(length / size);
}
