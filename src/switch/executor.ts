/**
 * Executes the commands of the main thread, one at a time, between two bursts. What concerns a hold is fenced by the
 * hold's epoch; frames of a mark stay pinned until the main thread lets them go.
 */
import { StillwireError } from '../errors/index.js';
import { VNET_HEADER_BYTES, type InflightFrame } from '../frame/types.js';
import type { Port } from '../port/port.js';
import { monotonicMs } from '../sys/index.js';
import { Capture } from './capture.js';
import type { Engine } from './engine.js';
import type { Mark } from './mark.js';
import type { PortOpener } from './open-port.js';
import type { CommandName, Commands, MarkAnswer } from './protocol.js';
import type { Switch } from './switch.js';

/** What is copied of a mark between two bursts: about a burst's worth of work. */
const FRAMES_AT_ONCE = 64;
const BYTES_AT_ONCE = 256 * 1024;

type Handlers = { [C in CommandName]: (ask: Commands[C]['ask']) => Commands[C]['answer'] };

export class Executor {
  readonly #switch: Switch;
  readonly #engine: Engine;
  readonly #opener: PortOpener;
  readonly #marks = new Map<number, Mark>();
  #nextMark = 1;
  #epoch = 0;
  /** Monotonic milliseconds; nothing has been sent since. */
  #since = 0;
  /** Ports opened during a hold, from which nothing is received yet. */
  readonly #unwatched: { readonly index: number; readonly fd: number }[] = [];
  #releasing = false;
  #capture: Capture | undefined;
  #ending: 'close' | 'leave' | undefined;

  constructor(core: Switch, engine: Engine, opener: PortOpener) {
    this.#switch = core;
    this.#engine = engine;
    this.#opener = opener;
  }

  /** Of the present hold, or of the last one. */
  get epoch(): number {
    return this.#epoch;
  }

  /** What is captured, if anything. */
  get capture(): Capture | undefined {
    return this.#capture;
  }

  /** The switch is to end: as ordered, or as a crash would. */
  get ending(): 'close' | 'leave' | undefined {
    return this.#ending;
  }

  /**
   * @param since monotonic milliseconds: nothing has been sent since
   * @throws StillwireError what the command's handler throws
   */
  execute(command: CommandName, ask: unknown, since: number): unknown {
    this.#since = since;
    const handler = this.#handlers[command] as (ask: unknown) => unknown;
    return handler(ask);
  }

  /** Ends the hold by ourselves; whoever began it is fenced off from now on. */
  breakHold(): void {
    this.#release(monotonicMs());
    this.#epoch++;
  }

  /** How the last release went, once: when all that was held has been delivered. */
  takeReleased(): { readonly startedAt: number | undefined } | undefined {
    if (!this.#releasing) return undefined;
    const { lastPortStartedAt: startedAt, drained } = this.#switch.releaseProgress();
    this.#releasing = !drained;
    return drained ? { startedAt } : undefined;
  }

  #release(at: number): void {
    this.#switch.release(at);
    this.#watchAll();
  }

  #add(port: Port, segment: string, vlan: number): void {
    try {
      const index = this.#switch.addPort(port, segment, vlan);
      // Into a network that is being restored nothing may come before the saved frames: it waits in the socket.
      if (this.#switch.held) this.#unwatched.push({ index, fd: port.receiveFd });
      else this.#engine.watch(index, port.receiveFd);
    } catch (error) {
      port.close();
      throw error;
    }
  }

  #watchAll(): void {
    for (const { index, fd } of this.#unwatched.splice(0)) this.#engine.watch(index, fd);
  }

  #fence(epoch: number): void {
    if (epoch !== this.#epoch || !this.#switch.held) {
      throw new StillwireError('HOLD_EXPIRED', `hold ${epoch} has ended`, { epoch, current: this.#epoch });
    }
  }

  #mark(): MarkAnswer {
    const mark = this.#switch.mark(monotonicMs());
    const id = this.#nextMark++;
    this.#marks.set(id, mark);
    const bytes = mark.frames.reduce((sum, { frame }) => sum + frame.stored.length, 0);
    const { frames, ...told } = mark;
    return { mark: id, at: monotonicMs(), frames: frames.length, bytes, ...told };
  }

  #framesOf(id: number, from: number): InflightFrame[] {
    const mark = this.#marks.get(id);
    if (mark === undefined) throw new StillwireError('INTERNAL', `no mark ${id}`);
    let to = from;
    for (
      let bytes = 0;
      to < mark.frames.length && to < from + FRAMES_AT_ONCE && bytes < BYTES_AT_ONCE;
      to++
    ) {
      bytes += mark.frames[to]!.frame.stored.length;
    }
    return mark.frames.slice(from, to).map(({ frame, destinations }, i) => ({
      sequence: from + i + 1,
      timeNs: frame.timeNs,
      ingress: frame.ingress,
      destinations,
      vnet: Uint8Array.from(frame.stored.subarray(0, VNET_HEADER_BYTES)),
      bytes: Uint8Array.from(frame.stored.subarray(VNET_HEADER_BYTES)),
    }));
  }

  readonly #handlers: Handlers = {
    addSegment: ({ name, settings }) => {
      this.#switch.addSegment(name, settings);
      return undefined;
    },
    addTap: (ask) => {
      const port = this.#opener.tap(ask);
      this.#add(port, ask.segment, ask.vlan);
      return { tunFd: port.tunFd };
    },
    addPair: (ask) => {
      const { port, ends } = this.#opener.pair(ask);
      this.#add(port, ask.segment, ask.vlan);
      return ends;
    },
    addDgram: (ask) => {
      this.#add(this.#opener.dgram(ask), ask.segment, ask.vlan);
      return undefined;
    },
    addDevice: (ask) => {
      const { port, found } = this.#opener.device(ask);
      this.#add(port, ask.segment, ask.vlan);
      return { tunFd: port.receiveFd, found };
    },
    addExternal: (ask) => {
      this.#add(this.#opener.external(ask), ask.segment, ask.vlan);
      return undefined;
    },
    removePort: ({ id }) => {
      const port = this.#switch.ports().find((candidate) => candidate.id === id);
      if (port !== undefined) this.#engine.unwatch(port.receiveFd);
      this.#switch.removePort(id);
      return undefined;
    },
    hold: () => {
      if (this.#switch.held) throw new StillwireError('NETWORK_HELD', 'the network is held already');
      this.#switch.hold();
      this.#releasing = false;
      return { epoch: ++this.#epoch, at: this.#since };
    },
    sentinels: ({ epoch, nonce }) => {
      this.#fence(epoch);
      this.#switch.sendSentinels(nonce);
      return undefined;
    },
    cookies: ({ epoch, nonce, ports }) => {
      this.#fence(epoch);
      this.#switch.sendCookies(nonce, monotonicMs(), ports);
      return undefined;
    },
    recall: ({ epoch, ports }) => {
      this.#fence(epoch);
      this.#switch.recall(ports, monotonicMs());
      return undefined;
    },
    sweep: ({ epoch }) => {
      this.#fence(epoch);
      this.#switch.sweep(monotonicMs());
      return undefined;
    },
    evidence: ({ epoch }) => {
      this.#fence(epoch);
      return this.#switch.evidence();
    },
    mark: ({ epoch }) => {
      this.#fence(epoch);
      return this.#mark();
    },
    frames: ({ mark, from }) => this.#framesOf(mark, from),
    unpin: ({ mark }) => {
      const pinned = this.#marks.get(mark);
      this.#marks.delete(mark);
      if (pinned !== undefined) this.#switch.unpin(pinned);
      return undefined;
    },
    release: ({ epoch }) => {
      this.#fence(epoch);
      const at = monotonicMs();
      this.#release(at);
      this.#releasing = true;
      return { at };
    },
    restore: ({ epoch, frames, stations, nonces, cookies, addresses }) => {
      this.#fence(epoch);
      this.#switch.recognise(nonces);
      this.#switch.recogniseCookies(cookies, addresses, monotonicMs());
      this.#switch.learnStations(stations, monotonicMs());
      this.#switch.restore(frames);
      this.#watchAll();
      return undefined;
    },
    ledger: () => ({ held: this.#switch.held, engine: this.#engine.name, ports: this.#switch.ledger() }),
    capture: ({ on }) => {
      const capture = on ? new Capture() : undefined;
      this.#capture = capture;
      this.#switch.watcher = capture && ((port, bytes) => capture.take(port, bytes));
      return undefined;
    },
    captured: () => {
      this.#capture?.acknowledge();
      return undefined;
    },
    close: ({ leave }) => {
      this.#ending = leave ? 'leave' : 'close';
      return undefined;
    },
  };
}
