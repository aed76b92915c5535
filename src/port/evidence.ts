/** What a port can observe about its two directions: the raw material of a proof. */
/** How a port can prove that a path is empty. */
export type PortKind = 'tap' | 'dgram' | 'device' | 'external';

/**
 * Whether frames can lie between us and the machine behind a port. A device hands every frame to its machine's stack at
 * once: its way down is never anything but empty. An external port leads out of the cut.
 */
export const hasRing = (kind: PortKind): boolean => kind === 'tap' || kind === 'dgram';

/** What became of the marker of the present hold: nobody is known who would answer it, somebody is, or it was answered. */
export type CookieState = 'unasked' | 'asked' | 'answered';

/** Evidence that everything sent towards the guest has been taken by it. */
export interface DownEvidence {
  /** The sentinels went out behind the last frame. */
  readonly sentinelSent: boolean;
  /** The ring was seen empty after the sentinels: they and every earlier frame were read. */
  readonly ringEmpty: boolean;
  /** Bytes still in the qdisc (SIOCOUTQ). */
  readonly sendQueueBytes: number;
  /** Frames the kernel dropped between hold and drained (netdev tx_dropped). */
  readonly droppedSinceHold: number;
  /** Whether the guest itself said that it has received everything. No kernel counter stands behind this one. */
  readonly cookie: CookieState;
  /** Frames taken back out of the ring because the guest did not read them. */
  readonly recalled: number;
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
  /**
   * Whether the receive queue can have been full since it mattered. Counted here and not by the kernel: all that was
   * received since the queue was last seen empty is less than it has room for, so it never was.
   */
  readonly mayHaveOverrun: boolean;
}
