/** The in-flight set of a network at a cut, pinned in memory until it is written or let go. */
import { StillwireError } from '../errors/index.js';
import type { InflightFrame } from '../frame/types.js';
import { isProven, judge, type PortEvidence, type QuiesceMethod, type Verdict } from '../quiesce/index.js';
import {
  imbalances,
  type MarkAnswer,
  type PortLedger,
  type AddressOnPort,
  type StationOnPort,
  type SwitchHandle,
} from '../switch/index.js';

export class Mark {
  readonly method: QuiesceMethod;
  readonly evidence: readonly PortEvidence[];
  /** Frames in flight; a flooded frame counts once. */
  readonly frameCount: number;
  readonly ledger: readonly PortLedger[];
  readonly stations: readonly StationOnPort[];
  /** Nonces of sentinels that may still sit in a guest. */
  readonly nonces: readonly Uint8Array[];
  /** Nonces of cookies that a guest may still answer. */
  readonly cookies: readonly Uint8Array[];
  /** Whom a cookie can be sent to. */
  readonly addresses: readonly AddressOnPort[];
  /** Wall clock at the mark. */
  readonly takenAt = new Date();
  /** Aborted when its hold was lost: frames have flowed since that an image of this mark would bring once more. */
  readonly lost: AbortSignal;
  readonly #switch: SwitchHandle;
  readonly #mark: number;

  /**
   * Checks the ledger; what does not come out is let go of.
   * @throws StillwireError LEDGER_MISMATCH when a frame is not accounted for
   */
  static async of(
    handle: SwitchHandle,
    answer: MarkAnswer,
    evidence: readonly PortEvidence[],
    method: QuiesceMethod,
    lost: AbortSignal = new AbortController().signal,
  ): Promise<Mark> {
    const mark = new Mark(handle, answer, evidence, method, lost);
    const faults = imbalances(answer.ledger);
    if (faults.length === 0) return mark;
    await mark.unpin();
    throw new StillwireError('LEDGER_MISMATCH', faults.join('; '), { faults });
  }

  private constructor(
    handle: SwitchHandle,
    answer: MarkAnswer,
    evidence: readonly PortEvidence[],
    method: QuiesceMethod,
    lost: AbortSignal,
  ) {
    this.#switch = handle;
    this.#mark = answer.mark;
    this.method = method;
    this.lost = lost;
    this.evidence = evidence;
    this.frameCount = answer.frames;
    this.ledger = answer.ledger;
    this.stations = answer.stations;
    this.nonces = answer.nonces;
    this.cookies = answer.cookies;
    this.addresses = answer.addresses;
  }

  get proven(): boolean {
    return isProven(this.evidence);
  }

  get verdicts(): Verdict[] {
    return this.evidence.map(judge);
  }

  /** The frames. Slow for many, since traffic goes before: ask after the release. */
  async frames(): Promise<InflightFrame[]> {
    const frames: InflightFrame[] = [];
    do {
      frames.push(...(await this.#switch.call('frames', { mark: this.#mark, from: frames.length })));
    } while (frames.length < this.frameCount);
    return frames;
  }

  /** Lets the frames go; {@link frames} fails afterwards. */
  async unpin(): Promise<void> {
    await this.#switch.call('unpin', { mark: this.#mark });
  }
}
