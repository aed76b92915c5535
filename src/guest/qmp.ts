/**
 * A client of QMP, QEMU's control protocol (docs/interop/qmp-spec.txt).
 *
 * Theory of operation. One JSON document a line. QEMU greets, we answer `qmp_capabilities`, and from then on commands
 * go out with an id, and answers come back with it, events in between. Several commands may be under way; QEMU
 * carries them out in order.
 *
 * Writes take turns: one begins when the kernel has taken the one before. So a descriptor, which has to go out by
 * sendmsg(2) beside Node's own writing, can neither overtake nor tear a command.
 *
 * How it ends: by `close`, by QEMU closing its end, by an error of the socket, or by an answer that cannot be read
 * (no JSON, an overlong line). Each is final: whatever was pending is rejected with the same error, at once. A
 * command that timed out is forgotten; its late answer is dropped.
 */
import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import { StillwireError } from '../errors/index.js';
import { sendDescriptor } from '../sys/fd-passing.js';
import { peerCredentials, type PeerCredentials } from '../sys/pidfd.js';
import { connectSocket, descriptorOf } from './qmp-connect.js';
import { LineSplitter } from './qmp-lines.js';

/** Longest line taken from QEMU, in bytes. Its longest answers (block graphs, the schema) are some 100 KiB. */
export const MAX_LINE_BYTES = 1024 * 1024;
/** Commands that may wait for a QEMU that does not read. */
const MAX_UNSENT = 256;
/** Most characters of QEMU's own words in an error. */
const MAX_WORDS = 1000;
/** How long a command may take unless the caller says otherwise. */
export const COMMAND_TIMEOUT_MS = 10_000;

export interface QmpEvent {
  /** Such as `STOP`. */
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface QmpConnectOptions {
  /** The guest's name, for messages. */
  readonly guest: string;
  /** Bound for connecting and greeting together. */
  readonly timeoutMs: number;
  /** Aborts the attempt; give the end of QEMU's process here too. */
  readonly signal?: AbortSignal;
}

export interface QmpCommandOptions {
  /** Default {@link COMMAND_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

type Json = Readonly<Record<string, unknown>>;
const wordsOf = (value: unknown): string =>
  (typeof value === 'string' ? value : ((JSON.stringify(value) as string | undefined) ?? 'nothing')).slice(
    0,
    MAX_WORDS,
  );
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null;

export class QmpClient {
  readonly #guest: string;
  readonly #socket: Socket;
  readonly #lines = new LineSplitter(MAX_LINE_BYTES);
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #closeListeners = new Set<(error: StillwireError) => void>();
  readonly #greeted: Promise<void>;
  #greet!: () => void;
  #settleClosed!: (error: StillwireError) => void;
  /** From a random number on: QEMU may still owe an answer to a client before us, and sends it to whoever is there. */
  #nextId = randomInt(2 ** 47);
  #turn: Promise<void> = Promise.resolve();
  /** Commands that wait for their turn to be written. */
  #unsent = 0;
  #end: StillwireError | undefined;

  /** Resolves when the connection has ended, with the error that pending commands got. Never rejects. */
  readonly closed: Promise<StillwireError>;

  /**
   * Connects and negotiates.
   * @throws StillwireError QMP_TIMEOUT; GUEST_DIED when QEMU closes during the greeting; the signal's reason
   */
  static async connect(path: string, options: QmpConnectOptions): Promise<QmpClient> {
    const { guest, timeoutMs } = options;
    const late = new AbortController();
    const timer = setTimeout(() => {
      const words = `guest ${guest}: no QMP within ${timeoutMs} ms`;
      late.abort(new StillwireError('QMP_TIMEOUT', words, { guest }));
    }, timeoutMs);
    const signal =
      options.signal === undefined ? late.signal : AbortSignal.any([options.signal, late.signal]);
    try {
      const client = new QmpClient(await connectSocket(path, guest, signal), guest);
      const giveUp = (): void => {
        client.#fail(StillwireError.from(signal.reason));
      };
      signal.addEventListener('abort', giveUp, { once: true });
      if (signal.aborted) giveUp();
      try {
        await Promise.race([client.#greeted, client.closed.then((error) => Promise.reject(error))]);
        await client.execute('qmp_capabilities', {}, { timeoutMs });
        return client;
      } catch (error) {
        client.close();
        throw error;
      } finally {
        signal.removeEventListener('abort', giveUp);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  private constructor(socket: Socket, guest: string) {
    this.#guest = guest;
    this.#socket = socket;
    this.#greeted = new Promise((resolve) => (this.#greet = resolve));
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
    void this.closed.then(() => this.#tellClosed());
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#died(error.message, error));
    socket.on('close', () => this.#died('closed by QEMU'));
  }

  /**
   * Runs a command and returns what QEMU returned.
   * @throws StillwireError QMP_ERROR with QEMU's class and words; QMP_TIMEOUT; GUEST_DIED
   */
  execute(command: string, args: Json = {}, options: QmpCommandOptions = {}): Promise<unknown> {
    return this.#command(command, args, options, (line) => this.#write(line));
  }

  /**
   * Hands QEMU a descriptor under `name`; one it had under that name it closes. QEMU gets a duplicate.
   * @throws as {@link execute}, and StillwireError SYSCALL when it could not be sent
   */
  async getfd(name: string, fd: number, options: QmpCommandOptions = {}): Promise<void> {
    await this.#command('getfd', { fdname: name }, options, (line) => {
      sendDescriptor(descriptorOf(this.#socket), Buffer.from(line), fd);
      return Promise.resolve();
    });
  }

  /** Who made the socket: QEMU itself, unless somebody handed it one. @throws StillwireError SYSCALL */
  get peer(): PeerCredentials {
    return peerCredentials(descriptorOf(this.#socket));
  }

  /** Calls `listener` for every event, in QEMU's order and before the answers behind it. Returns how to stop it. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Calls `listener` when the connection has ended, soon if it has already. Returns how to stop it. For whoever waits a
   * while and goes: a promise keeps all that ever waited for it, and {@link closed} lives as long as the guest.
   */
  onClosed(listener: (error: StillwireError) => void): () => void {
    this.#closeListeners.add(listener);
    if (this.#end !== undefined) void this.closed.then(() => this.#tellClosed());
    return () => this.#closeListeners.delete(listener);
  }

  #tellClosed(): void {
    const listeners = [...this.#closeListeners];
    this.#closeListeners.clear();
    for (const listener of listeners) listener(this.#end!);
  }

  close(): void {
    this.#fail(new StillwireError('GUEST_DIED', `guest ${this.#guest}: QMP closed`, { guest: this.#guest }));
  }

  #command(
    command: string,
    args: Json,
    options: QmpCommandOptions,
    send: (line: string) => Promise<void>,
  ): Promise<unknown> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    if (this.#unsent >= MAX_UNSENT) {
      const words = `guest ${this.#guest}: QEMU does not read; ${MAX_UNSENT} commands wait for it`;
      return Promise.reject(new StillwireError('QMP_TIMEOUT', words, { guest: this.#guest, command }));
    }
    const id = this.#nextId++;
    const line = `${JSON.stringify({ execute: command, arguments: args, id })}\n`;
    const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const words = `guest ${this.#guest}: QEMU did not answer ${command} within ${timeoutMs} ms`;
        this.#take(id)?.reject(new StillwireError('QMP_TIMEOUT', words, { guest: this.#guest, command }));
      }, timeoutMs);
      this.#pending.set(id, { command, resolve, reject, timer });
      this.#unsent++;
      this.#turn = this.#turn
        .then(() => (this.#end === undefined ? send(line) : undefined))
        .catch((error: unknown) => this.#take(id)?.reject(StillwireError.from(error)))
        .finally(() => this.#unsent--);
    });
  }

  /** Resolves when the kernel has taken the line. What goes wrong comes by the socket's own `error`. */
  #write(line: string): Promise<void> {
    return new Promise((resolve) => void this.#socket.write(line, () => resolve()));
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending !== undefined) clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }

  #receive(chunk: Buffer): void {
    try {
      for (const line of this.#lines.push(chunk)) {
        if (this.#end === undefined && line.trim() !== '') this.#accept(JSON.parse(line));
      }
    } catch (error) {
      const words = `guest ${this.#guest}: unreadable QMP: ${error instanceof Error ? error.message : String(error)}`;
      this.#fail(new StillwireError('GUEST_FAILED', words, { guest: this.#guest }, error));
    }
  }

  #accept(message: unknown): void {
    if (!isObject(message)) throw new TypeError('a line that is no object');
    if (isObject(message['QMP'])) this.#greet();
    else if (typeof message['event'] === 'string') this.#tell(message['event'], message['data']);
    else if (typeof message['id'] === 'number') this.#answer(message['id'], message);
    else throw new TypeError(`an answer to nothing: ${JSON.stringify(message).slice(0, 200)}`);
  }

  #tell(event: string, data: unknown): void {
    for (const listener of [...this.#listeners]) listener({ event, data: isObject(data) ? data : {} });
  }

  #answer(id: number, message: Json): void {
    const pending = this.#take(id);
    if (pending === undefined) return; // it timed out
    const error = message['error'];
    if (!isObject(error)) {
      pending.resolve(message['return']);
      return;
    }
    const [kind, words] = [wordsOf(error['class']), wordsOf(error['desc'])];
    const { command } = pending;
    const details = { guest: this.#guest, command, class: kind, words };
    pending.reject(
      new StillwireError('QMP_ERROR', `guest ${this.#guest}: QEMU refused ${command}: ${words}`, details),
    );
  }

  #died(how: string, cause?: unknown): void {
    const torn = this.#lines.pending > 0 ? ' in the middle of an answer' : '';
    const words = `guest ${this.#guest}: QMP connection lost${torn}: ${how}`;
    this.#fail(new StillwireError('GUEST_DIED', words, { guest: this.#guest }, cause));
  }

  #fail(error: StillwireError): void {
    if (this.#end !== undefined) return;
    this.#end = error;
    this.#socket.destroy();
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(error);
    this.#settleClosed(error);
  }
}
