/** Why and when a daemon ends: a signal, its owner, a client, or a fault; the first one counts. */
import { StillwireError } from '../errors/index.js';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export class Ending {
  readonly #abort = new AbortController();
  readonly #undo: (() => void)[] = [];
  #fault: StillwireError | undefined;

  /** Listens to the process's signals and to the owner's. */
  constructor(owner?: AbortSignal) {
    for (const name of SIGNALS) {
      const onSignal = (): void => this.interrupt(`by ${name}`);
      process.on(name, onSignal);
      this.#undo.push(() => process.off(name, onSignal));
    }
    const onAbort = (): void => this.interrupt('by its owner');
    owner?.addEventListener('abort', onAbort);
    this.#undo.push(() => owner?.removeEventListener('abort', onAbort));
    if (owner?.aborted === true) onAbort();
  }

  /** Aborted when the end has come; the reason is a {@link StillwireError}. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The reason as an error, for those who were in the middle of something. */
  get reason(): StillwireError {
    return StillwireError.from(this.#abort.signal.reason);
  }

  /** The fault that ended the network; undefined when somebody wished it. */
  get fault(): StillwireError | undefined {
    return this.#fault;
  }

  /** Somebody wishes the end. @param how - such as `by SIGTERM` */
  interrupt(how: string): void {
    this.#abort.abort(new StillwireError('INTERRUPTED', `ended ${how}`));
  }

  /** Something broke that the network cannot live without. */
  fail(error: StillwireError): void {
    if (!this.signal.aborted) this.#fault = error;
    this.#abort.abort(error);
  }

  /** Resolves when the end has come. */
  async come(): Promise<void> {
    if (this.signal.aborted) return;
    await new Promise((resolve) => this.signal.addEventListener('abort', resolve, { once: true }));
  }

  /** Leaves the process's signals alone again. */
  dispose(): void {
    for (const undo of this.#undo) undo();
  }
}
