/** Speaking to a running network's daemon. */
import { setTimeout as delay } from 'node:timers/promises';
import type { CheckpointReport, ImageReport, NetworkStatus } from '../checkpoint/index.js';
import { StillwireError } from '../errors/index.js';
import { chooseNetwork, type Choice } from './choose.js';
import { linesOf } from './lines.js';
import { isLocked } from './lock.js';
import { ask, open, understand, type Request } from './request.js';
import { pathsOf, type NetworkPaths } from './run-directory.js';
import {
  emptySchema,
  healthSchema,
  holdGrantSchema,
  holdStateSchema,
  imageReportSchema,
  operationEventSchema,
  operationSchema,
  releaseReportSchema,
  statusSchema,
  type CheckpointBody,
  type Health,
  type HoldBody,
  type HoldGrant,
  type PhaseEvent,
  type ReleaseReport,
} from './wire.js';

/** For requests that a daemon answers at once, milliseconds. */
const ANSWER_BOUND_MS = 30_000;
const GONE_POLL_MS = 20;

/** The caller's signal, or the bound of a request that has none. */
const within = (signal?: AbortSignal): AbortSignal => {
  if (signal !== undefined) return signal;
  const late = new AbortController();
  const words = `the daemon did not answer within ${ANSWER_BOUND_MS / 1000} s`;
  setTimeout(() => late.abort(new StillwireError('TIMED_OUT', words)), ANSWER_BOUND_MS).unref();
  return late.signal;
};

export class DaemonClient {
  readonly network: string;
  readonly #paths: NetworkPaths;

  private constructor(network: string) {
    this.network = network;
    this.#paths = pathsOf(network);
  }

  /**
   * Finds the daemon meant and makes sure that it answers.
   * @throws StillwireError NETWORK_NOT_FOUND, NETWORK_AMBIGUOUS, DAEMON_UNREACHABLE
   */
  static async connect(choice: Choice = {}): Promise<DaemonClient> {
    const client = new DaemonClient(await chooseNetwork(choice));
    await client.health();
    return client;
  }

  health(): Promise<Health> {
    return this.#ask({ method: 'GET', path: '/healthz', signal: within() }, healthSchema);
  }

  status(signal?: AbortSignal): Promise<NetworkStatus> {
    return ask(
      this.#paths.socket,
      { method: 'GET', path: '/v1/network', signal: within(signal) },
      statusSchema,
    );
  }

  /**
   * Takes a checkpoint and follows it to its end. With `kill` it resolves when the daemon is gone too.
   * @param signal its abort aborts the checkpoint in the daemon and waits until all is undone; one that was past the
   *   point resolves all the same
   * @throws StillwireError what the checkpoint raised; INTERRUPTED after an abort
   */
  async checkpoint(
    body: CheckpointBody,
    onEvent: (event: PhaseEvent) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<CheckpointReport> {
    signal?.throwIfAborted();
    const { id } = await this.#ask(
      { method: 'POST', path: '/v1/checkpoints', body, signal: within() },
      operationSchema,
    );
    const path = `/v1/operations/${id}`;
    const abort = (): void => {
      this.#ask({ method: 'DELETE', path, signal: within() }, operationSchema).catch(() => undefined);
    };
    signal?.addEventListener('abort', abort);
    if (signal?.aborted === true) abort();
    try {
      const report = await this.#follow(`${path}/events`, onEvent);
      if (report.killed) await this.#gone();
      return report;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  async #follow(path: string, onEvent: (event: PhaseEvent) => void): Promise<CheckpointReport> {
    const { socket } = this.#paths;
    const lines = linesOf(await open(socket, { method: 'GET', path }));
    try {
      for await (const line of lines) {
        const event = understand(operationEventSchema, JSON.parse(line));
        if (event.event === 'done') return event.result;
        if (event.event === 'failed') throw StillwireError.fromJSON(event.error);
        onEvent(event);
      }
    } catch (error) {
      if (error instanceof StillwireError) throw error;
    }
    const words = `the daemon of ${this.network} ended in the middle of the checkpoint`;
    throw new StillwireError('DAEMON_UNREACHABLE', words, { network: this.network });
  }

  /** Holds the network. It flows again by itself when the lease runs out. @throws StillwireError NETWORK_HELD, … */
  hold(body: HoldBody = {}, signal?: AbortSignal): Promise<HoldGrant> {
    return this.#ask({ method: 'POST', path: '/v1/holds', body, signal: within(signal) }, holdGrantSchema);
  }

  /** Starts the lease anew. @throws StillwireError HOLD_EXPIRED, HOLD_UNKNOWN */
  async renew(token: string, leaseMs?: number): Promise<void> {
    const body = leaseMs === undefined ? {} : { leaseMs };
    await this.#ask(
      { method: 'POST', path: `/v1/holds/${token}/renew`, body, signal: within() },
      holdStateSchema,
    );
  }

  /** Writes an image without guests. Bounded by the lease. @throws StillwireError HOLD_EXPIRED, CHECKPOINT_EXISTS, … */
  mark(token: string, name: string, signal?: AbortSignal): Promise<ImageReport> {
    return this.#ask(
      { method: 'POST', path: `/v1/holds/${token}/mark`, body: { name }, signal },
      imageReportSchema,
    );
  }

  /** @param token `current` for whatever hold lasts @throws StillwireError HOLD_EXPIRED, HOLD_UNKNOWN */
  release(token: string): Promise<ReleaseReport> {
    return this.#ask({ method: 'DELETE', path: `/v1/holds/${token}`, signal: within() }, releaseReportSchema);
  }

  /** Every frame that enters from now on, as pcapng; ends without an error when the signal is aborted. */
  async *capture(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      const stream = await open(this.#paths.socket, { method: 'GET', path: '/v1/capture', signal });
      yield* stream as AsyncIterable<Uint8Array>;
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Ends the network; resolves when nothing is left of it. */
  async down(signal?: AbortSignal): Promise<void> {
    await this.#ask({ method: 'POST', path: '/v1/down', signal: within() }, emptySchema);
    await this.#gone(signal);
  }

  #ask<S extends Parameters<typeof ask>[2]>(asked: Request, answer: S): ReturnType<typeof ask<S>> {
    return ask(this.#paths.socket, asked, answer);
  }

  /** The lock is the last that a daemon gives up. */
  async #gone(signal?: AbortSignal): Promise<void> {
    while (isLocked(this.#paths.lock)) {
      signal?.throwIfAborted();
      await delay(GONE_POLL_MS);
    }
  }
}
