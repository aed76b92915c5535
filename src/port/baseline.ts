/**
 * How many frames a TAP had counted when our packet socket was bound to it: what its later counts are measured from.
 *
 * On a device we have just made nobody writes yet, and one look tells. On one whose hypervisor runs, the two counters
 * cannot be read at one instant. What is known: the device counts a frame after it has handed it to the socket (tun.c,
 * tun_get_user), and the socket counts every frame handed to it, kept or dropped. So, with `counted` read before
 * `handed`,
 *
 *   counted ≤ base + frames handed by then ≤ base + handed,   and so   counted - handed ≤ base
 *
 * at any moment, with equality whenever no frame was on its way between the two looks. The greatest difference ever
 * seen is therefore never above the truth, and reaches it at the first quiet instant: at the latest when all guests
 * have stopped. A baseline below the truth makes the device seem to have taken more than was received: the port is
 * unproven then, never wrongly proven.
 */
/** PACKET_STATISTICS counts in 32 bits. */
const WRAP = 2 ** 32;

export class Baseline {
  #base: number;
  #handed = 0;

  /** @param counted the device's count when nobody wrote; absent: it is in use, and its baseline is to be found */
  constructor(counted = Number.NEGATIVE_INFINITY) {
    this.#base = counted;
  }

  get value(): number {
    return this.#base;
  }

  /**
   * Takes one look into account.
   * @param counted the device's count, read before
   * @param handed what the socket counted since the last look, drops included
   * @param received what has been received on the socket in all, which tells how often its counter has wrapped
   */
  look(counted: number, handed: number, received: number): void {
    this.#handed += handed;
    while (this.#handed < received) this.#handed += WRAP;
    this.#base = Math.max(this.#base, counted - this.#handed);
  }
}
