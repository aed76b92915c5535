/**
 * The switch thread as the model has it: the real Switch, turned by the agenda; commands and answers under way for a
 * moment each, in order. It does what switch/thread.ts does around the Switch (fencing by epoch, marks pinned, ports of
 * a held opening not listened to), and looks like a SwitchHandle, so that the real LeasedChannel works on it.
 */
import { EventEmitter } from 'node:events';
import { StillwireError } from '../../src/errors/index.js';
import { VNET_HEADER_BYTES, type InflightFrame } from '../../src/frame/types.js';
import { FrameMemory } from '../../src/port/batch.js';
import { counterMemory } from '../../src/switch/counters.js';
import type { CommandName, Commands } from '../../src/switch/protocol.js';
import type { Mark } from '../../src/switch/mark.js';
import type { Switch } from '../../src/switch/switch.js';
import type { Agenda } from './agenda.js';
import type { Code } from './code.js';
import type { Tap } from './tap.js';

const MESSAGE = { least: 0.02, most: 0.2, seldom: 1.5 };
const TURN = { least: 0.01, most: 0.1, seldom: 3 };
const NOTICE = { least: 0.02, most: 0.1, seldom: 1 };

/** Of whatever network there is: one after the other. */
const counters = counterMemory();
const memory = new FrameMemory();

type Handlers = { [C in CommandName]?: (ask: Commands[C]['ask']) => Commands[C]['answer'] };

export class SwitchThread extends EventEmitter {
  readonly core: Switch;
  readonly #agenda: Agenda;
  readonly #taps: Tap[] = [];
  readonly #armed = new Set<number>();
  readonly #marks = new Map<number, { mark: Mark; frames: InflightFrame[] }>();
  #listening = true;
  #serveAt = Number.POSITIVE_INFINITY;
  #serving = 0;
  #epoch = 0;
  #nextMark = 1;
  /** When the last message each way will have arrived: none overtakes another. */
  #lastAsk = 0;
  #lastAnswer = 0;
  ended = false;

  constructor(code: Code, agenda: Agenda) {
    super();
    this.#agenda = agenda;
    new Uint8Array(counters).fill(0);
    const wallClock = (): bigint => BigInt(Math.floor(agenda.now() * 1e6));
    this.core = new code.Switch(counters, wallClock, undefined, memory);
    this.core.addSegment('lan', { reservedMulticast: 'forward', ageingSeconds: 300 });
  }

  /** Ports opened from now on are not listened to before `restore`. */
  openHeld(): void {
    this.#listening = false;
  }

  addTap(tap: Tap): void {
    const index = this.core.addPort(tap, 'lan');
    this.#taps.push(tap);
    tap.onArrival = () => this.#arm(index);
  }

  #listen(): void {
    this.#listening = true;
    for (const index of this.#taps.keys()) this.#arm(index);
  }

  /** A turn will come in which this port is received from. */
  #arm(index: number): void {
    if (this.#armed.has(index) || !this.#listening) return;
    this.#armed.add(index);
    this.#agenda.in(this.#agenda.delay(TURN), () => {
      this.#armed.delete(index);
      if (this.ended) return;
      this.core.receive(index, this.#agenda.now());
      if (this.#taps[index]!.arrived.length > 0) this.#arm(index);
      this.#serve();
    });
  }

  #serve(): void {
    const next = this.core.serve(this.#agenda.now());
    if (next === undefined) return;
    const at = this.#agenda.now() + Math.max(next, 0.05);
    if (at >= this.#serveAt) return;
    this.#serveAt = at;
    const serving = ++this.#serving;
    this.#agenda.in(at - this.#agenda.now(), () => {
      if (serving !== this.#serving || this.ended) return;
      this.#serveAt = Number.POSITIVE_INFINITY;
      this.#serve();
    });
  }

  call(command: CommandName, ask: unknown): Promise<unknown> {
    const now = this.#agenda.now();
    this.#lastAsk = Math.max(this.#lastAsk, now + this.#agenda.delay(MESSAGE));
    return new Promise((resolve, reject) => {
      this.#agenda.in(this.#lastAsk - now, () => {
        const answer = this.#execute(command, ask);
        this.#tell(MESSAGE, () => ('error' in answer ? reject(answer.error) : resolve(answer.answer)));
      });
    });
  }

  #execute(command: CommandName, ask: unknown): { answer: unknown } | { error: StillwireError } {
    if (this.ended) return { error: new StillwireError('INTERNAL', 'the switch thread has ended') };
    try {
      const handler = this.#handlers[command] as (ask: unknown) => unknown;
      return { answer: handler(ask) };
    } catch (error) {
      return { error: StillwireError.from(error) };
    }
  }

  #tell(delay: typeof MESSAGE, tell: () => void): void {
    const now = this.#agenda.now();
    this.#lastAnswer = Math.max(this.#lastAnswer, now + this.#agenda.delay(delay));
    this.#agenda.in(this.#lastAnswer - now, () => {
      this.#agenda.wake();
      tell();
    });
  }

  /** A hold queue has reached its bound, as far as anybody is told. */
  overflow(): void {
    const epoch = this.#epoch;
    if (this.core.held) this.#tell(NOTICE, () => this.emit('overflow', epoch));
  }

  /** A hold queue has reached its bound, and so many milliseconds later twice that. */
  flood(ms: number): void {
    const epoch = this.#epoch;
    this.overflow();
    this.#agenda.in(ms, () => {
      if (epoch !== this.#epoch || !this.core.held || this.ended) return;
      this.#release();
      this.#epoch++;
    });
  }

  #release(): void {
    this.core.release(this.#agenda.now());
    this.#listen();
    this.#serve();
  }

  #fence(epoch: number): void {
    if (epoch === this.#epoch && this.core.held) return;
    throw new StillwireError('HOLD_EXPIRED', `hold ${epoch} has ended`);
  }

  #framesOf(mark: Mark): InflightFrame[] {
    return mark.frames.map(({ frame, destinations }, i) => ({
      sequence: i + 1,
      timeNs: frame.timeNs,
      ingress: frame.ingress,
      destinations,
      vnet: frame.stored.subarray(0, VNET_HEADER_BYTES),
      bytes: frame.stored.subarray(VNET_HEADER_BYTES),
    }));
  }

  readonly #handlers: Handlers = {
    hold: () => {
      if (this.core.held) throw new StillwireError('NETWORK_HELD', 'the network is held already');
      this.core.hold();
      return { epoch: ++this.#epoch, at: this.#agenda.now() };
    },
    sentinels: ({ epoch, nonce }) => {
      this.#fence(epoch);
      this.core.sendSentinels(nonce);
      return undefined;
    },
    cookies: ({ epoch, nonce, ports }) => {
      this.#fence(epoch);
      this.core.sendCookies(nonce, this.#agenda.now(), ports);
      return undefined;
    },
    recall: ({ epoch, ports }) => {
      this.#fence(epoch);
      this.core.recall(ports, this.#agenda.now());
      return undefined;
    },
    sweep: ({ epoch }) => {
      this.#fence(epoch);
      this.core.sweep(this.#agenda.now());
      return undefined;
    },
    evidence: ({ epoch }) => {
      this.#fence(epoch);
      return this.core.evidence();
    },
    mark: ({ epoch }) => {
      this.#fence(epoch);
      const mark = this.core.mark(this.#agenda.now());
      const frames = this.#framesOf(mark);
      const id = this.#nextMark++;
      this.#marks.set(id, { mark, frames });
      return { ...mark, mark: id, at: this.#agenda.now(), frames: frames.length, bytes: 0 };
    },
    frames: ({ mark, from }) => this.#marks.get(mark)!.frames.slice(from),
    release: ({ epoch }) => {
      this.#fence(epoch);
      this.#release();
      return { at: this.#agenda.now() };
    },
    restore: ({ epoch, frames, stations, nonces, cookies, addresses }) => {
      this.#fence(epoch);
      this.core.recognise(nonces);
      this.core.recogniseCookies(cookies, addresses, this.#agenda.now());
      this.core.learnStations(stations, this.#agenda.now());
      this.core.restore(frames);
      this.#listen();
      return undefined;
    },
  };
}
