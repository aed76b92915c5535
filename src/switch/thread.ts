/**
 * The switch thread: enters the network's namespace, turns the engine, executes commands between two turns.
 *
 * Its loop never returns to the event loop, so messages are taken with receiveMessageOnPort. `await null` once per
 * turn is what lets worker.terminate() and process.exit() stop it.
 */
import { receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { StillwireError } from '../errors/index.js';
import { VNET_HEADER_BYTES } from '../frame/types.js';
import type { Port } from '../port/port.js';
import {
  enterNamespace,
  leaveNamespace,
  monotonicMs,
  setDatagramQueueLength,
  silenceNamespace,
  wallNs,
} from '../sys/index.js';
import { Capture } from './capture.js';
import type { Engine } from './engine.js';
import { EpollEngine } from './epoll-engine.js';
import { HoldStore } from './hold-store.js';
import { PortOpener } from './open-port.js';
import type { CommandName, Commands, Message, Request } from './protocol.js';
import { Switch, type Mark } from './switch.js';

/** Frames a datagram socket bound to a path takes before its sender has to wait; the kernel's default is 10. */
const DATAGRAM_QUEUE_FRAMES = 65_536;

/** What the main thread hands to a new switch thread. */
export interface ThreadData {
  readonly control: MessagePort;
  /** Signalled whenever commands have been posted. */
  readonly controlFd: number;
  readonly counters: SharedArrayBuffer;
  /** Path of the namespace to live in; absent for a network without devices. */
  readonly namespace?: string;
  /** Path of a file that keeps what is held from then on when the process is killed; absent: heap memory does. */
  readonly holdFile?: string;
}

type Handlers = { [C in CommandName]: (ask: Commands[C]['ask']) => Commands[C]['answer'] };

/**
 * Moves this thread to where it lives: the network's namespace, or a nameless one of its own, or, for who may make none,
 * where it is. In one that is ours alone, the queues of datagram sockets may be long.
 */
function settleIn(namespace: string | undefined): void {
  if (namespace !== undefined) {
    enterNamespace(namespace);
    silenceNamespace();
  } else if (!leaveNamespace()) return;
  setDatagramQueueLength(DATAGRAM_QUEUE_FRAMES);
}

class SwitchThread {
  readonly #data: ThreadData;
  readonly #switch: Switch;
  readonly #engine: Engine;
  readonly #opener: PortOpener;
  readonly #marks = new Map<number, Mark>();
  #epoch = 0;
  #nextMark = 1;
  /** Ports opened during a hold, from which nothing is received yet. */
  readonly #unwatched: { readonly index: number; readonly fd: number }[] = [];
  /** The hold whose overflow has been told. */
  #overflowTold = 0;
  #reportRelease = false;
  #capture: Capture | undefined;
  #closed = false;
  #leaving = false;
  #storeFault: string | undefined;

  constructor(data: ThreadData) {
    this.#data = data;
    settleIn(data.namespace);
    this.#switch = new Switch(data.counters, wallNs, this.#openStore());
    this.#engine = new EpollEngine(this.#switch, data.controlFd, () => this.#execute());
    this.#opener = new PortOpener(this.#switch.memory, data.namespace ?? '/proc/thread-self/ns/net');
  }

  /** A hold file that cannot be made is no reason to have no network. */
  #openStore(): HoldStore | undefined {
    if (this.#data.holdFile === undefined) return undefined;
    try {
      return new HoldStore(this.#data.holdFile);
    } catch (error) {
      this.#storeFault = StillwireError.from(error).message;
      return undefined;
    }
  }

  async run(): Promise<void> {
    this.#post({ notice: 'ready' });
    while (!this.#closed) {
      this.#engine.turn();
      this.#report();
      // eslint-disable-next-line @typescript-eslint/await-thenable -- the turn of a stoppable loop, see above
      await null;
    }
    if (this.#leaving) this.#switch.leave();
    else this.#switch.close();
    this.#engine.close();
    this.#opener.close();
    this.#data.control.close();
  }

  #post(message: Message): void {
    this.#data.control.postMessage(message);
  }

  #execute(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#data.control) as { message: Request } | undefined;
      if (received === undefined) return;
      const { id, command, ask } = received.message;
      try {
        const handler = this.#handlers[command] as (ask: unknown) => unknown;
        this.#post({ id, answer: handler(ask) });
      } catch (error) {
        this.#post({ id, error: StillwireError.from(error).toJSON() });
      }
    }
  }

  /** Tells the main thread what it has not asked for. */
  #report(): void {
    if (this.#switch.overflowed && this.#overflowTold !== this.#epoch) {
      this.#overflowTold = this.#epoch;
      this.#post({ notice: 'overflow', epoch: this.#epoch });
    }
    const reason = this.#storeFault ?? this.#switch.takeFault();
    this.#storeFault = undefined;
    if (reason !== undefined) this.#post({ notice: 'unsafe', reason });
    if (this.#switch.flooded) {
      this.#switch.release(monotonicMs());
      this.#watchAll();
      this.#epoch++;
    }
    if (this.#reportRelease) {
      const { lastPortStartedAt: startedAt, drained } = this.#switch.releaseProgress();
      if (drained) {
        this.#reportRelease = false;
        this.#post({ notice: 'released', epoch: this.#epoch, startedAt, drainedAt: monotonicMs() });
      }
    }
    const batch = this.#capture?.batch();
    if (batch !== undefined) this.#post({ notice: 'captured', ...batch });
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

  #markOf(id: number): Mark {
    const mark = this.#marks.get(id);
    if (mark === undefined) throw new StillwireError('INTERNAL', `no mark ${id}`);
    return mark;
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
      this.#reportRelease = false;
      return { epoch: ++this.#epoch, at: monotonicMs() };
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
      const mark = this.#switch.mark(monotonicMs());
      const id = this.#nextMark++;
      this.#marks.set(id, mark);
      const bytes = mark.frames.reduce((sum, { frame }) => sum + frame.stored.length, 0);
      const { frames, ...told } = mark;
      return { mark: id, at: monotonicMs(), frames: frames.length, bytes, ...told };
    },
    frames: ({ mark }) =>
      this.#markOf(mark).frames.map(({ frame, destinations }, i) => ({
        sequence: i + 1,
        timeNs: frame.timeNs,
        ingress: frame.ingress,
        destinations,
        vnet: Uint8Array.from(frame.stored.subarray(0, VNET_HEADER_BYTES)),
        bytes: Uint8Array.from(frame.stored.subarray(VNET_HEADER_BYTES)),
      })),
    unpin: ({ mark }) => {
      const pinned = this.#marks.get(mark);
      this.#marks.delete(mark);
      if (pinned !== undefined) this.#switch.unpin(pinned);
      return undefined;
    },
    release: ({ epoch }) => {
      this.#fence(epoch);
      const at = monotonicMs();
      this.#switch.release(at);
      this.#watchAll();
      this.#reportRelease = true;
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
      this.#closed = true;
      this.#leaving = leave;
      return undefined;
    },
  };
}

await new SwitchThread(workerData as ThreadData).run();
