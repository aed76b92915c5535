/**
 * Whether a hypervisor may have met a full queue at a datagram socket and be keeping a frame back, found out without
 * asking the kernel.
 *
 * What a queue holds when it is full is received afterwards. So as long as all that arrived since the queue was last seen
 * empty is less than it has room for, nobody has met a full one. Once somebody may have, the doubt outlasts the full
 * queue: what was kept back is still there. It ends with an arrival in a queue that was seen empty and has not been
 * overrun since. That frame was sent into a queue with room; and a hypervisor sends what it kept back before anything
 * else, and all of it in the same turn of its loop, in which it cannot be stopped (qemu_net_queue_flush).
 */
export interface Room {
  readonly frames: number;
  readonly bytes: number;
}

export class Arrivals {
  readonly #room: Room;
  #frames = 0;
  #bytes = 0;
  #tooMany = false;
  #doubt: boolean;

  /** @param room what the queue takes before a sender meets a full one; @param doubt what it has met before is unknown */
  constructor(room: Room, doubt: boolean) {
    this.#room = room;
    this.#doubt = doubt;
  }

  get mayHaveOverrun(): boolean {
    return this.#doubt;
  }

  /** @param bytes what they took of the room, at most; @param empty the queue was seen empty behind them */
  note(frames: number, bytes: number, empty: boolean): void {
    this.#frames += frames;
    this.#bytes += bytes;
    if (this.#frames >= this.#room.frames || this.#bytes >= this.#room.bytes)
      this.#tooMany = this.#doubt = true;
    if (!empty) return;
    if (this.#frames > 0 && !this.#tooMany) this.#doubt = false;
    this.#frames = this.#bytes = 0;
    this.#tooMany = false;
  }
}
