/** A port before which nothing sent ever lies: whoever is behind it has a frame when the call that sends it returns. */
import type { DownEvidence } from './evidence.js';
import { NOTHING_UNREAD, type Unread } from './port.js';

export abstract class RinglessPort {
  sendSentinel(): boolean {
    return false;
  }

  downEvidence(): DownEvidence {
    return {
      sentinelSent: false,
      ringEmpty: true,
      sendQueueBytes: 0,
      droppedSinceHold: 0,
      cookie: 'unasked',
      recalled: 0,
    };
  }

  recall(): Unread {
    return NOTHING_UNREAD;
  }

  readSinceRecall(): number {
    return 0;
  }
}
