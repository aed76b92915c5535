/** What a port can observe about its two directions: the raw material of a proof. */
/** How a port can prove that a path is empty. */
export type PortKind = 'tap' | 'device' | 'external';

/** Evidence that everything sent towards the guest has been taken by it. */
export interface DownEvidence {
  /** The sentinel went out behind the last frame. */
  readonly sentinelSent: boolean;
  /** The ring was seen empty after the sentinel: it and every earlier frame were read. */
  readonly ringEmpty: boolean;
  /** Bytes still in the qdisc (SIOCOUTQ). */
  readonly sendQueueBytes: number;
  /** Frames the kernel dropped between hold and drained (netdev tx_dropped). */
  readonly droppedSinceHold: number;
}

/** Evidence that everything the guest sent has been taken in. All counters since the port's baseline. */
export interface UpEvidence {
  /** Frames the netdev took from the guest (rx_packets). */
  readonly deviceFrames: number;
  /** Frames we received on the port. */
  readonly receivedFrames: number;
  /** Frames lost between the two (tp_drops of the packet socket) since the hold. */
  readonly socketDrops: number;
  /** The receive queue was seen empty after all guests had stopped. */
  readonly queueEmpty: boolean;
}
