/**
 * A running QEMU machine as a {@link Guest}.
 *
 * A command and the question whether it had its effect are sent together: QEMU carries them out in order, so the
 * proof costs no round trip. Errors name the guest, say what was being done, and carry QEMU's words; when QEMU died
 * of it, its last words on stderr.
 */
import { StillwireError, type ErrorCode } from '../errors/index.js';
import type { Guest, GuestIdentity, RunState, WritableDisk } from './guest.js';
import { ask, StatusAnswer } from './qemu-answers.js';
import { writableDisks } from './qemu-disks.js';
import type { HypervisorProcess } from './hypervisor-process.js';
import { readIdentity } from './qemu-identity.js';
import { StateSaver } from './qemu-saver.js';
import type { QmpClient, QmpEvent } from './qmp.js';

/** QEMU's run states (qapi/run-state.json) from which `cont` goes on. */
const PAUSED_STATES: ReadonlySet<string> = new Set(['paused', 'prelaunch', 'postmigrate']);

/** QEMU's run state as a guest's. */
export const plainState = (status: string): RunState => (PAUSED_STATES.has(status) ? 'paused' : status);

/** What is told in a user's terms; the rest (a timeout, an abort and its reason) speaks for itself. */
const OURS_TO_EXPLAIN: ReadonlySet<ErrorCode> = new Set([
  'QMP_ERROR',
  'GUEST_DIED',
  'GUEST_FAILED',
  'SYSCALL',
]);

/** Events after which the guest is not the one a checkpoint began with. */
const LOSSES: Readonly<Record<string, string>> = {
  RESET: 'it reset',
  SHUTDOWN: 'it shut down',
  GUEST_PANICKED: 'it panicked',
};

export class QemuGuest implements Guest {
  readonly name: string;
  readonly ended: Promise<string>;
  readonly #process: HypervisorProcess;
  readonly #qmp: QmpClient;
  readonly #saver: StateSaver;
  readonly #prefix: string;
  readonly #watchers = new Set<(reason: string) => void>();
  #lost: string | undefined;
  readonly #hashes: Promise<Readonly<Record<string, string>>>;

  /** @param memory RAM in bytes; @param hashes sha256 by role of the files the guest was started from; a failure is told by {@link identity} */
  constructor(
    name: string,
    process: HypervisorProcess,
    qmp: QmpClient,
    memory: number,
    hashes: Promise<Readonly<Record<string, string>>>,
  ) {
    this.name = name;
    this.#prefix = `guest ${name}: `;
    this.ended = process.ended;
    this.#process = process;
    this.#qmp = qmp;
    this.#saver = new StateSaver(qmp, name, memory);
    this.#hashes = hashes;
    hashes.catch(() => undefined);
    // Once, not for each watcher: these promises live as long as the guest, and keep all that ever waited for them.
    void this.ended.then((reason) => this.#lose(this.#prefix + reason));
    // Without QMP it can be neither stopped nor saved. When QEMU is ending, its end is the better reason.
    void qmp.closed.then(async (error) => {
      await process.settle();
      this.#lose(error.message);
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  async runState(): Promise<RunState> {
    try {
      const { status } = await ask(this.#qmp, StatusAnswer, 'query-status');
      return plainState(status);
    } catch (error) {
      await this.#process.settle();
      if (this.pid === undefined) return 'ended';
      throw error;
    }
  }

  writableDisks(): Promise<WritableDisk[]> {
    return this.#while('listing disks', () => writableDisks(this.#qmp));
  }

  identity(): Promise<GuestIdentity> {
    return this.#while('identifying', async () => readIdentity(this.#qmp, await this.#hashes));
  }

  stop(): Promise<boolean> {
    return this.#run('stop', 'stopping', false);
  }

  async resume(): Promise<void> {
    await this.#run('cont', 'resuming', true);
  }

  prepareSave(file: string): Promise<() => void> {
    return this.#while('preparing to save', () => this.#saver.prepare(file));
  }

  save(file: string, signal: AbortSignal): Promise<number> {
    return this.#while('saving', () => this.#saver.save(file, signal));
  }

  async kill(): Promise<void> {
    await this.#process.kill();
    this.#qmp.close();
  }

  watch(onLost: (reason: string) => void): () => void {
    const lost = (reason: string): void => {
      if (!this.#watchers.has(lost)) return;
      stopWatching();
      onLost(reason);
    };
    const stopListening = this.#qmp.onEvent(({ event }: QmpEvent) => {
      const loss = Object.hasOwn(LOSSES, event) ? LOSSES[event] : undefined; // the event's name is QEMU's to choose
      if (loss !== undefined) lost(this.#prefix + loss);
    });
    const stopWatching = (): void => {
      this.#watchers.delete(lost);
      stopListening();
    };
    this.#watchers.add(lost);
    const reason = this.#lost;
    if (reason !== undefined) queueMicrotask(() => lost(reason));
    return stopWatching;
  }

  /** For good: it has ended, or can no more be spoken to. */
  #lose(reason: string): void {
    this.#lost ??= reason;
    for (const watcher of [...this.#watchers]) watcher(this.#lost);
  }

  /** Starts or stops it, in one round trip; whether it had been running. */
  #run(command: string, doing: string, running: boolean): Promise<boolean> {
    return this.#while(doing, async () => {
      const [before, , after] = await Promise.all([
        ask(this.#qmp, StatusAnswer, 'query-status'),
        this.#qmp.execute(command),
        ask(this.#qmp, StatusAnswer, 'query-status'),
      ]);
      if (after.running === running) return before.running;
      throw new StillwireError('GUEST_FAILED', `it is ${after.status} after ${command}`);
    });
  }

  /** Runs one of the guest's operations and makes its failure one that a user understands. */
  async #while<T>(doing: string, operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      const { code, details } = StillwireError.from(error);
      if (!OURS_TO_EXPLAIN.has(code)) throw error;
      const words = await this.#process.explain(error);
      const plain = code === 'QMP_ERROR' ? 'GUEST_FAILED' : code;
      const text = `${this.#prefix}${doing} failed: ${words.replace(this.#prefix, '')}`;
      throw new StillwireError(plain, text, { ...details, guest: this.name }, error);
    }
  }
}
