/** The main thread's side of a switch thread. */
import { EventEmitter } from 'node:events';
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { StillwireError } from '../errors/index.js';
import { closeFd, createEvent, signalEvent } from '../sys/index.js';
import { counterMemory } from './counters.js';
import { chosenEngine, type EngineChoice } from './open-ring.js';
import type { CommandName, Commands, Message, Notice } from './protocol.js';
import type { ThreadData } from './thread.js';

type Answer = { resolve: (value: unknown) => void; reject: (error: Error) => void };

interface SwitchEvents {
  overflow: [epoch: number];
  released: [release: Extract<Notice, { notice: 'released' }>];
  captured: [batch: Extract<Notice, { notice: 'captured' }>];
  /** What is held would not survive the process. */
  unsafe: [reason: string];
  /** The thread ended without being asked to. */
  failed: [error: StillwireError];
}

export interface SwitchOptions {
  /** A file in which frames are kept during a hold, for `recoverHeld` after a crash. */
  readonly holdFile?: string;
  /** Default: what STILLWIRE_ENGINE says, or `auto`. */
  readonly engine?: EngineChoice;
}

export class SwitchHandle extends EventEmitter<SwitchEvents> {
  readonly counters: SharedArrayBuffer;
  readonly #worker: Worker;
  readonly #control: MessagePort;
  readonly #controlFd: number;
  readonly #exited: Promise<unknown>;
  readonly #waiting = new Map<number, Answer>();
  #nextId = 1;
  #ended = false;
  #closing = false;
  #onReady: Answer | undefined;

  /**
   * Starts a switch that lives in the namespace at `path`, if any; resolves when it has entered it.
   * @throws StillwireError what keeps it from its place, or from the engine that was demanded
   */
  static async start(path: string | undefined, options: SwitchOptions = {}): Promise<SwitchHandle> {
    const handle = new SwitchHandle(path, options);
    try {
      await new Promise((resolve, reject) => {
        handle.#onReady = { resolve, reject };
      });
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  private constructor(namespace: string | undefined, options: SwitchOptions) {
    super();
    const engine = options.engine ?? chosenEngine();
    const { port1, port2 } = new MessageChannel();
    this.counters = counterMemory();
    this.#control = port1;
    this.#controlFd = createEvent();
    const data: ThreadData = {
      control: port2,
      controlFd: this.#controlFd,
      counters: this.counters,
      ...(namespace === undefined ? {} : { namespace }),
      ...(options.holdFile === undefined ? {} : { holdFile: options.holdFile }),
      engine,
    };
    const entry = new URL('./thread.js', import.meta.url);
    this.#worker = new Worker(entry, { workerData: data, transferList: [port2] });
    this.#control.on('message', (message: Message) => this.#receive(message));
    this.#exited = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.on('error', (error) => this.#end(StillwireError.from(error)));
    this.#worker.on('exit', () => this.#end(new StillwireError('INTERNAL', 'the switch thread has ended')));
  }

  #receive(message: Message): void {
    if ('notice' in message) return this.#notify(message);
    const answer = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if ('error' in message) answer?.reject(StillwireError.fromJSON(message.error as object));
    else answer?.resolve(message.answer);
  }

  #notify(notice: Notice): void {
    if (notice.notice === 'ready') this.#onReady?.resolve(undefined);
    else if (notice.notice === 'overflow') this.emit('overflow', notice.epoch);
    else if (notice.notice === 'unsafe') this.emit('unsafe', notice.reason);
    else if (notice.notice === 'released') this.emit('released', notice);
    else this.emit('captured', notice);
  }

  #end(error: StillwireError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onReady?.reject(error);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#control.close();
    if (!this.#closing) this.emit('failed', error);
  }

  /**
   * Asks the switch thread.
   * @throws StillwireError what the thread raised, or INTERNAL when it has ended
   */
  call<C extends CommandName>(command: C, ask: Commands[C]['ask']): Promise<Commands[C]['answer']> {
    if (this.#ended) return Promise.reject(new StillwireError('INTERNAL', 'the switch thread has ended'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#control.postMessage({ id, command, ask });
      signalEvent(this.#controlFd);
    });
  }

  /**
   * Ends the thread; its ports and their devices are gone when this resolves.
   * @param leave what is held stays in the hold file, for the next switch
   */
  async close({ leave = false } = {}): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    if (!this.#ended) await this.call('close', { leave }).catch(() => undefined); // it may fail just now
    await this.#exited;
    closeFd(this.#controlFd);
  }
}
