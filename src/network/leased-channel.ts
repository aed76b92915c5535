/**
 * The switch as the quiesce sees it, under a lease. A hold that its owner does not end in time ends by itself; from
 * then on everything done in its name fails with HOLD_EXPIRED, because the switch fences by epoch.
 *
 * What is to happen at the end of a lease depends on the owner: a checkpoint resumes its guests before it delivers,
 * a bare hold delivers at once. So the channel only tells it, through {@link LeasedChannel.signal}.
 */
import { StillwireError } from '../errors/index.js';
import { newNonce } from '../frame/sentinel.js';
import type { PortId } from '../frame/types.js';
import type { Channel, Observation, Recall } from '../quiesce/index.js';
import type { MarkAnswer, SwitchHandle } from '../switch/index.js';

export class LeasedChannel implements Channel<MarkAnswer> {
  readonly #switch: SwitchHandle;
  readonly #leaseMs: number;
  readonly #lost = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #epoch = -1;

  /** @param leaseMs milliseconds until a hold ends by itself */
  constructor(handle: SwitchHandle, leaseMs: number) {
    this.#switch = handle;
    this.#leaseMs = leaseMs;
  }

  /** Aborted, with the error as its reason, when the hold has ended before its owner ended it. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  readonly #onOverflow = (epoch: number): void => {
    if (epoch !== this.#epoch) return;
    this.#lose(new StillwireError('HOLD_OVERFLOW', 'a hold queue is full; the hold was ended', { epoch }));
  };

  readonly #lose = (error: StillwireError): void => {
    if (this.#lost.signal.aborted) return;
    this.forget();
    this.#lost.abort(error);
  };

  /** Ends the lease and nothing else: for a network that ends with its hold. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#switch.off('overflow', this.#onOverflow);
    this.#switch.off('failed', this.#lose);
  }

  /** Starts the lease anew. @throws StillwireError HOLD_EXPIRED when it has ended */
  renew(leaseMs = this.#leaseMs): void {
    this.#lost.signal.throwIfAborted();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#lose(new StillwireError('HOLD_EXPIRED', `the lease of ${leaseMs} ms ran out`, { leaseMs }));
    }, leaseMs);
  }

  async hold(): Promise<{ epoch: number; at: number }> {
    const asked = this.#switch.call('hold', {}); // before all else: frames are delivered until it arrives
    this.#switch.on('overflow', this.#onOverflow);
    this.#switch.on('failed', this.#lose);
    try {
      const answer = await asked;
      this.#epoch = answer.epoch;
      this.renew();
      return answer;
    } catch (error) {
      this.forget();
      throw error;
    }
  }

  async sentinels(epoch: number): Promise<void> {
    this.#lost.signal.throwIfAborted();
    await this.#switch.call('sentinels', { epoch, nonce: newNonce() });
  }

  async cookies(epoch: number, ports?: readonly PortId[]): Promise<void> {
    this.#lost.signal.throwIfAborted();
    const chosen = ports === undefined ? {} : { ports };
    await this.#switch.call('cookies', { epoch, nonce: newNonce(), ...chosen });
  }

  async recall(epoch: number, ports: readonly Recall[]): Promise<void> {
    this.#lost.signal.throwIfAborted();
    await this.#switch.call('recall', { epoch, ports });
  }

  async sweep(epoch: number): Promise<void> {
    this.#lost.signal.throwIfAborted();
    await this.#switch.call('sweep', { epoch });
  }

  async observe(epoch: number): Promise<Observation[]> {
    this.#lost.signal.throwIfAborted();
    return this.#switch.call('evidence', { epoch });
  }

  async mark(epoch: number): Promise<MarkAnswer> {
    this.#lost.signal.throwIfAborted();
    return this.#switch.call('mark', { epoch });
  }

  release(epoch: number): Promise<{ at: number }> {
    this.forget();
    return this.#switch.call('release', { epoch });
  }
}
