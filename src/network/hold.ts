/** A hold of a whole network, taken by someone who stops and saves the machines himself. */
import { randomBytes } from 'node:crypto';
import { StillwireError } from '../errors/index.js';
import {
  combine,
  DEFAULT_BOUNDS,
  DEFAULT_METHOD,
  DEFAULT_UNREADY,
  drain,
  realTime,
  settleUnready,
  sweep,
  unreadyOf,
  type DrainBounds,
  type Observation,
  type QuiesceMethod,
  type UnreadyPolicy,
} from '../quiesce/index.js';
import type { Commands, SwitchHandle } from '../switch/index.js';
import { LeasedChannel } from './leased-channel.js';
import { Mark } from './mark.js';

export interface HoldOptions {
  /** Milliseconds after which the network flows again by itself, 100 to 3,600,000. Default 5,000. */
  readonly leaseMs?: number;
  /** Default {@link DEFAULT_METHOD}. */
  readonly method?: QuiesceMethod;
  /** What to do about a machine that takes nothing. Default {@link DEFAULT_UNREADY}. */
  readonly unready?: UnreadyPolicy;
  readonly bounds?: Partial<DrainBounds>;
  readonly signal?: AbortSignal;
}

/** `expired` when the lease ran out, a queue ran over or the network was closed. */
export type HoldState = 'held' | 'released' | 'expired';

export const DEFAULT_LEASE_MS = 5000;
const LEASE_BOUNDS = { least: 100, most: 3_600_000 };

function checkLease(leaseMs: number): number {
  if (leaseMs >= LEASE_BOUNDS.least && leaseMs <= LEASE_BOUNDS.most) return leaseMs;
  throw new StillwireError('USAGE', `a lease lasts 100 ms to one hour, not ${leaseMs} ms`);
}

interface Parts {
  readonly handle: SwitchHandle;
  readonly channel: LeasedChannel;
  readonly method: QuiesceMethod;
  readonly unready: UnreadyPolicy;
  readonly bounds: DrainBounds;
  readonly held: { readonly epoch: number; readonly at: number };
  /** Told once, when the hold has ended in whatever way. */
  readonly onEnd: () => void;
}

export class Hold {
  /** Names this hold to others; whoever knows it may renew, mark and release. */
  readonly token = randomBytes(16).toString('hex');
  readonly #parts: Parts;
  #drained: readonly Observation[] = [];
  #state: HoldState = 'held';
  /** Images its frames are in: the one it was restored from, and those of its marks. */
  #images = 0;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Stops all delivery and starts the lease, without draining.
   * @throws StillwireError NETWORK_HELD, USAGE
   */
  static async begin(handle: SwitchHandle, options: HoldOptions, onEnd: () => void): Promise<Hold> {
    const leaseMs = checkLease(options.leaseMs ?? DEFAULT_LEASE_MS);
    const channel = new LeasedChannel(handle, leaseMs);
    const bounds = { ...DEFAULT_BOUNDS, ...options.bounds };
    const held = await channel.hold();
    const { method = DEFAULT_METHOD, unready = DEFAULT_UNREADY } = options;
    const hold = new Hold({ handle, channel, method, unready, bounds, held, onEnd });
    channel.signal.addEventListener('abort', () => void hold.#lose());
    return hold;
  }

  /** Empties the way down, or gives up on it in time. A failure ends the hold. @throws StillwireError PORT_UNREADY */
  async drain(signal?: AbortSignal): Promise<void> {
    const { channel, held, method, unready, bounds } = this.#parts;
    const either = signal === undefined ? this.signal : AbortSignal.any([this.signal, signal]);
    try {
      const within = { time: realTime, signal: either };
      this.#drained = await drain(channel, held.epoch, method, bounds, within);
      await settleUnready(channel, held.epoch, this.#drained, { method, unready });
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  /** Monotonic milliseconds at which the switch had stopped delivering. */
  get heldAt(): number {
    return this.#parts.held.at;
  }

  /** Whether its frames are, or are about to be, in an image: marked or restored. */
  get inImage(): boolean {
    return this.#images > 0;
  }

  /** Ports whose way down was not seen empty: their machines take nothing, and the cut will not be proven. */
  get unready(): string[] {
    return unreadyOf(this.#parts.method, this.#drained).map(({ port }) => port);
  }

  get method(): QuiesceMethod {
    return this.#parts.method;
  }

  /** `held` until released or lost. */
  get state(): HoldState {
    return this.#state;
  }

  /** Aborted when the hold is lost: its lease ran out, or a queue ran over. */
  get signal(): AbortSignal {
    return this.#parts.channel.signal;
  }

  async #lose(): Promise<void> {
    this.#state = 'expired';
    await this.#release();
  }

  async #release(): Promise<void> {
    const { channel, held, onEnd } = this.#parts;
    try {
      await channel.release(held.epoch).catch(() => undefined); // a flooded switch has released already
    } finally {
      onEnd();
    }
  }

  #demandHeld(): void {
    this.signal.throwIfAborted();
    if (this.#state !== 'held') throw new StillwireError('HOLD_EXPIRED', 'the hold has been released');
  }

  /** Starts the lease anew. @throws StillwireError HOLD_EXPIRED */
  renew(leaseMs?: number): void {
    this.#demandHeld();
    this.#parts.channel.renew(leaseMs === undefined ? undefined : checkLease(leaseMs));
  }

  /**
   * Takes in what the stopped machines had sent and freezes the in-flight set. Call it when all of them are stopped.
   * @throws StillwireError HOLD_EXPIRED, NOT_QUIET, LEDGER_MISMATCH
   */
  async mark(): Promise<Mark> {
    this.#demandHeld();
    const { channel, held, method, bounds, handle } = this.#parts;
    const within = { time: realTime, signal: this.signal };
    const swept = await sweep(channel, held.epoch, method, bounds, within);
    const answer = await channel.mark(held.epoch);
    const evidence = combine(method, this.#drained, swept);
    const mark = await Mark.of(handle, answer, evidence, method, this.signal);
    this.#images++;
    return mark;
  }

  /** The image of a mark could not be written: without another one its frames are the network's alone again. */
  forgetImage(): void {
    this.#images--;
  }

  /** Delivers what was held, then lets traffic flow. A hold that has ended is no error. */
  async release(): Promise<void> {
    if (this.#state !== 'held') return;
    this.#state = 'released';
    await this.#release();
  }

  /**
   * Ends the hold because the network ends. Nothing is delivered: in a marked or restored hold the frames belong to
   * an image, and a machine that is only stopped would take them now and once more after the restore.
   */
  abandon(): void {
    if (this.#state !== 'held') return;
    this.#state = 'expired';
    this.#parts.channel.forget();
    this.#parts.onEnd();
  }

  /** Puts saved frames and stations back into the held network. @throws StillwireError HOLD_EXPIRED */
  async restore(saved: Omit<Commands['restore']['ask'], 'epoch'>): Promise<void> {
    this.#demandHeld();
    this.#images++;
    await this.#parts.handle.call('restore', { epoch: this.#parts.held.epoch, ...saved });
  }
}
