/**
 * What can be asked of a running network, apart from how it is asked.
 *
 * One thing at a time: a checkpoint refuses a hold and the other way round. A hold is known by its token; the last few
 * ended ones are remembered, so that their owner learns that his hold has expired and not that it never was.
 */
import type { CheckpointOptions, CheckpointReport, ImageReport, NetworkStatus } from '../checkpoint/index.js';
import type { NetworkDefinition } from '../definition/index.js';
import { StillwireError } from '../errors/index.js';
import { defaultName, isName, removeCheckpoint } from '../image/index.js';
import { DEFAULT_LEASE_MS, type Hold, type HoldOptions, type Mark, type Network } from '../network/index.js';
import { monotonicMs } from '../sys/index.js';
import { Operations, type Operation } from './operations.js';
import type { CheckpointBody, HoldBody, HoldGrant, ReleaseReport } from './wire.js';

/** The part of a hold that is used here. */
export type HeldNetwork = Pick<
  Hold,
  | 'token'
  | 'state'
  | 'signal'
  | 'method'
  | 'heldAt'
  | 'unready'
  | 'inImage'
  | 'forgetImage'
  | 'renew'
  | 'mark'
  | 'release'
>;

/** The part of a live network that is used here. */
export interface Served {
  readonly definition: NetworkDefinition;
  status(): Promise<NetworkStatus>;
  readonly network: Pick<Network, 'capture' | 'nextRelease'> & {
    readonly currentHold: HeldNetwork | undefined;
    hold(options: HoldOptions): Promise<HeldNetwork>;
  };
}

export interface ControlParts {
  readonly live: Served;
  /** Where checkpoints go. */
  readonly checkpoints: string;
  readonly takeCheckpoint: (options: CheckpointOptions) => Promise<CheckpointReport>;
  readonly saveMark: (mark: Mark, place: { name: string; directory: string }) => Promise<ImageReport>;
  /** Asks the daemon to end the network. */
  readonly onDown: (why: string) => void;
}

const HOLDS_KEPT = 32;
/** How long a release is followed before it is answered. */
const RELEASE_BOUND_MS = 5_000;
/** How long an aborted checkpoint may take to undo itself at the end of the network. */
const ABORT_BOUND_MS = 10_000;

export class Control {
  readonly #parts: ControlParts;
  readonly #operations = new Operations();
  readonly #holds = new Map<string, HeldNetwork>();
  #holding = false;
  #marking = false;

  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  get live(): Served {
    return this.#parts.live;
  }

  down(why: string): void {
    this.#parts.onDown(why);
  }

  get #isHeld(): boolean {
    return (
      this.#holding || this.#operations.running !== undefined || this.live.network.currentHold !== undefined
    );
  }

  #refuseWhenHeld(): void {
    if (!this.#isHeld) return;
    const network = this.live.definition.network;
    if (this.#operations.running !== undefined) {
      throw new StillwireError('NETWORK_BUSY', `a checkpoint of ${network} is under way`, { network });
    }
    throw new StillwireError('NETWORK_HELD', `${network} is held`, { network });
  }

  /** @throws StillwireError NETWORK_BUSY, NETWORK_HELD, NAME_INVALID; what fails later is told by the operation */
  checkpoint({ name = defaultName(), ...body }: CheckpointBody): Operation {
    if (!isName(name)) {
      throw new StillwireError('NAME_INVALID', `${JSON.stringify(name)} is not a valid name`, { name });
    }
    this.#refuseWhenHeld();
    const { checkpoints, takeCheckpoint } = this.#parts;
    const operation = this.#operations.start((signal, onPhase) =>
      takeCheckpoint({ name, directory: checkpoints, ...body, signal, onPhase }),
    );
    if (body.kill === true) {
      void operation.ended.then(() => {
        if (operation.view.state === 'done') this.down(`checkpoint ${name} was taken with kill`);
      });
    }
    return operation;
  }

  /** @throws StillwireError OPERATION_UNKNOWN */
  operation(id: string): Operation {
    const operation = this.#operations.find(id);
    if (operation !== undefined) return operation;
    throw new StillwireError('OPERATION_UNKNOWN', `no operation ${id}`, { operation: id });
  }

  /** @throws StillwireError NETWORK_BUSY, NETWORK_HELD, HOLD_EXPIRED, HOLD_OVERFLOW */
  async hold({ leaseMs = DEFAULT_LEASE_MS, method, unready, bounds }: HoldBody): Promise<HoldGrant> {
    this.#refuseWhenHeld();
    this.#holding = true;
    try {
      const hold = await this.live.network.hold({
        leaseMs,
        ...(method === undefined ? {} : { method }),
        ...(unready === undefined ? {} : { unready }),
        ...(bounds === undefined ? {} : { bounds }),
      });
      this.adopt(hold);
      return {
        token: hold.token,
        method: hold.method,
        leaseMs,
        drainMs: monotonicMs() - hold.heldAt,
        unready: hold.unready,
      };
    } finally {
      this.#holding = false;
    }
  }

  /** Takes in a hold that a restore began. */
  adopt(hold: HeldNetwork): void {
    this.#holds.set(hold.token, hold);
    const [oldest] = this.#holds.keys();
    if (this.#holds.size > HOLDS_KEPT && oldest !== undefined) this.#holds.delete(oldest);
  }

  #held(token: string): HeldNetwork {
    const hold = token === 'current' ? this.live.network.currentHold : this.#holds.get(token);
    if (hold === undefined) {
      const { network } = this.live.definition;
      const words = token === 'current' ? `${network} is not held` : `no hold of ${network} has this token`;
      throw new StillwireError('HOLD_UNKNOWN', words, { network });
    }
    hold.signal.throwIfAborted();
    if (hold.state === 'expired') throw new StillwireError('HOLD_EXPIRED', 'the hold has ended');
    return hold;
  }

  /** @throws StillwireError HOLD_UNKNOWN, HOLD_EXPIRED */
  renew(token: string, leaseMs?: number): void {
    this.#held(token).renew(leaseMs);
  }

  /**
   * @throws StillwireError HOLD_UNKNOWN, HOLD_EXPIRED, NETWORK_BUSY, NAME_INVALID, CHECKPOINT_EXISTS, NOT_QUIET,
   *   COMMIT_FAILED
   */
  async mark(token: string, name: string): Promise<ImageReport> {
    const hold = this.#held(token);
    const image = await this.#markOnce(hold, name);
    if (hold.state === 'held') return image;
    // Machines may have run on before the image was whole: nobody must find it.
    await removeCheckpoint(image.path);
    hold.signal.throwIfAborted();
    throw new StillwireError('HOLD_EXPIRED', 'the hold was released while its mark was being written');
  }

  /** One at a time: each pins the frames in flight until it is written. */
  async #markOnce(hold: HeldNetwork, name: string): Promise<ImageReport> {
    if (this.#marking) {
      const { network } = this.live.definition;
      throw new StillwireError('NETWORK_BUSY', `another mark of ${network} is being written`, { network });
    }
    this.#marking = true;
    try {
      const mark = await hold.mark();
      const place = { name, directory: this.#parts.checkpoints };
      return await this.#parts.saveMark(mark, place).catch((error: unknown) => {
        hold.forgetImage();
        throw error;
      });
    } finally {
      this.#marking = false;
    }
  }

  /**
   * @param token of the hold, or `current` for whatever hold lasts; one that was released already is no error
   * @throws StillwireError HOLD_UNKNOWN; HOLD_EXPIRED when it had ended before
   */
  async release(token: string): Promise<ReleaseReport> {
    const hold = this.#held(token);
    if (hold.state === 'released') return { heldMs: 0, releaseMs: 0 };
    const delivered = this.live.network.nextRelease(RELEASE_BOUND_MS);
    const at = monotonicMs();
    await hold.release();
    const drainedAt = (await delivered)?.drainedAt;
    return { heldMs: at - hold.heldAt, releaseMs: drainedAt === undefined ? null : drainedAt - at };
  }

  /** Aborts what is under way and lets traffic flow, before the network ends. */
  async close(reason: StillwireError): Promise<void> {
    const operation = this.#operations.running;
    if (operation !== undefined) {
      operation.abort(reason);
      const bound = new Promise<void>((resolve) => setTimeout(resolve, ABORT_BOUND_MS).unref());
      await Promise.race([operation.ended, bound]);
    }
    const hold = this.live.network.currentHold;
    if (hold?.inImage === false) await hold.release(); // frames of an image are not delivered: a restore will
  }
}
