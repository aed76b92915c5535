/** One run of the program: what the user asked for globally, where words go, and when to give up. */
import { resolve } from 'node:path';
import type * as DaemonRoom from '../daemon/index.js';
import { StillwireError } from '../errors/index.js';
import { stateDirectory } from '../image/index.js';
import type { GlobalFlags } from './options.js';
import { Progress } from './progress.js';
import { Channel, type Output } from './terminal.js';

/** `schemaVersion` of every document; raised when a field changes its meaning or goes. */
export const SCHEMA_VERSION = 1;

export type Daemon = typeof DaemonRoom;

export interface Surroundings {
  readonly stdout: Output;
  readonly stderr: Output;
  /** The daemon room. Loaded only by commands that need it: it opens native code. */
  readonly loadDaemon: () => Promise<Daemon>;
}

export class Session {
  /** Wall clock at the command's start, milliseconds since 1970. */
  readonly startedAtMs = performance.timeOrigin;
  readonly out: Channel;
  readonly err: Channel;
  readonly progress: Progress;
  readonly #surroundings: Surroundings;
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    surroundings: Surroundings,
    readonly flags: GlobalFlags,
  ) {
    this.#surroundings = surroundings;
    const color = flags.color && (process.env['NO_COLOR'] ?? '') === '';
    this.out = new Channel(surroundings.stdout, color);
    this.err = new Channel(surroundings.stderr, color);
    this.progress = new Progress(this.err, flags.quiet !== true);
    if (flags.timeout !== undefined) {
      const expired = new StillwireError('TIMED_OUT', `not done within ${flags.timeout} ms`);
      this.#timer = setTimeout(() => this.#abort.abort(expired), flags.timeout);
    }
  }

  /** Aborted by an interrupt or --timeout; its reason is the StillwireError to end with. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  interrupt(signal: NodeJS.Signals): void {
    this.#abort.abort(new StillwireError('INTERRUPTED', `interrupted by ${signal}`, { signal }));
  }

  /** What --timeout was to bound is done: for commands that run on after they have started. */
  started(): void {
    clearTimeout(this.#timer);
  }

  /** The command's result: with --json as one document, else as text. */
  async document(value: object, text: () => string): Promise<void> {
    if (this.flags.json) await this.out.write(`${json({ schemaVersion: SCHEMA_VERSION, ...value })}\n`);
    else await this.out.line(text());
  }

  /** A word to the person, not part of the result. */
  async say(text: string): Promise<void> {
    if (!this.flags.quiet) await this.err.line(text);
  }

  /** STATE. */
  get stateDirectory(): string {
    return this.flags.state === undefined ? stateDirectory() : resolve(this.flags.state);
  }

  daemonRoom(): Promise<Daemon> {
    return this.#surroundings.loadDaemon();
  }

  /** The daemon of the network that is meant. @throws StillwireError NETWORK_NOT_FOUND, NETWORK_AMBIGUOUS, DAEMON_UNREACHABLE */
  async connect(): Promise<DaemonRoom.DaemonClient> {
    const { DaemonClient } = await this.daemonRoom();
    return DaemonClient.connect(this.flags.network === undefined ? {} : { network: this.flags.network });
  }

  close(): void {
    this.started();
    this.out.close();
    this.err.close();
  }
}

/** 64-bit times become strings: a JSON number would round them. */
export const json = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? part.toString() : part));
