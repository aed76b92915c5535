/** Long work that a client starts, follows, looks at again later, and may abort. */
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { CheckpointReport } from '../checkpoint/index.js';
import { StillwireError } from '../errors/index.js';
import { operationEventSchema, type OperationEvent, type OperationView } from './wire.js';

/** Operations remembered; the oldest finished ones are forgotten first. */
const KEPT = 32;

type Work = (signal: AbortSignal, onPhase: (phase: string, ms: number) => void) => Promise<CheckpointReport>;

export class Operation {
  readonly id = randomBytes(8).toString('hex');
  /** Resolves when it has ended, in whatever way. */
  readonly ended: Promise<void>;
  readonly #abort = new AbortController();
  readonly #news = new EventEmitter<{ news: [] }>();
  readonly #events: OperationEvent[] = [];
  #last: OperationEvent | undefined;

  constructor(work: Work) {
    this.#news.setMaxListeners(0);
    this.ended = this.#run(work);
  }

  async #run(work: Work): Promise<void> {
    const onPhase = (phase: string, ms: number): void => this.#tell({ event: 'phase', phase, ms });
    try {
      const result = await work(this.#abort.signal, onPhase);
      this.#end(operationEventSchema.parse({ event: 'done', result }));
    } catch (error) {
      this.#end({ event: 'failed', error: StillwireError.from(error).toJSON() });
    }
  }

  #end(event: OperationEvent): void {
    this.#last = event;
    this.#tell(event);
  }

  #tell(event: OperationEvent): void {
    this.#events.push(event);
    this.#news.emit('news');
  }

  get running(): boolean {
    return this.#last === undefined;
  }

  get view(): OperationView {
    const common = { id: this.id, kind: 'checkpoint' } as const;
    const last = this.#last;
    if (last?.event === 'done') return { ...common, state: 'done', result: last.result };
    if (last?.event === 'failed') return { ...common, state: 'failed', error: last.error };
    return { ...common, state: 'running' };
  }

  /** Makes it fail with `reason`, unless it is past the point. */
  abort(reason: StillwireError): void {
    this.#abort.abort(reason);
  }

  /** All that has happened, then what happens; ends with the operation. */
  async *events(signal: AbortSignal): AsyncGenerator<OperationEvent> {
    for (let next = 0; ;) {
      while (next < this.#events.length) yield this.#events[next++]!;
      if (!this.running || signal.aborted) return;
      await once(this.#news, 'news', { signal }).catch(() => undefined);
    }
  }
}

export class Operations {
  readonly #operations = new Map<string, Operation>();

  start(work: Work): Operation {
    const operation = new Operation(work);
    this.#operations.set(operation.id, operation);
    const surplus = this.#operations.size - KEPT;
    const finished = [...this.#operations.values()].filter(({ running }) => !running);
    for (const { id } of finished.slice(0, Math.max(0, surplus))) this.#operations.delete(id);
    return operation;
  }

  get running(): Operation | undefined {
    return [...this.#operations.values()].find(({ running }) => running);
  }

  find(id: string): Operation | undefined {
    return this.#operations.get(id);
  }
}
