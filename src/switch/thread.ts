/**
 * The switch thread: enters the network's namespace, turns the engine, has commands executed between two
 * turns (executor.ts).
 *
 * Its loop never returns to the event loop, so messages are taken with receiveMessageOnPort. `await null` now and
 * then lets worker.terminate() and process.exit() stop it for certain; not at every turn, because each leaves garbage.
 */
import { receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { StillwireError } from '../errors/index.js';
import {
  enterNamespace,
  leaveNamespace,
  monotonicMs,
  type Ring,
  setDatagramQueueLength,
  signalEvent,
  silenceNamespace,
  wallNs,
} from '../sys/index.js';
import { Eagerness } from './eagerness.js';
import type { Engine } from './engine.js';
import { EpollEngine } from './epoll-engine.js';
import { Executor } from './executor.js';
import { HoldStore } from '../hold-queue/store.js';
import { PortOpener } from './open-port.js';
import { openRing, type EngineChoice } from './open-ring.js';
import type { Message, Request } from './protocol.js';
import { Switch } from './switch.js';
import { UringEngine } from './uring-engine.js';

/** Frames a datagram socket bound to a path takes before its sender has to wait; the kernel's default is 10. */
const DATAGRAM_QUEUE_FRAMES = 65_536;

/** Turns between two at which the loop can be stopped. */
const UNAWAITED_TURNS = 256;

/** Turns between two looks at how much processor time they take. */
const TURNS_A_LOOK = 16;

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
  readonly engine: EngineChoice;
}

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
  /** Absent with epoll. */
  readonly #ring: Ring | undefined;
  readonly #engine: Engine;
  readonly #opener: PortOpener;
  readonly #executor: Executor;
  readonly #eagerness = new Eagerness();
  /** The hold whose overflow has been told. */
  #overflowTold = 0;
  #storeFault: string | undefined;

  constructor(data: ThreadData) {
    this.#data = data;
    settleIn(data.namespace);
    this.#ring = openRing(data.engine); // first: it may be refused
    this.#switch = new Switch(data.counters, wallNs, this.#openStore());
    this.#engine = this.#startEngine();
    const home = data.namespace ?? '/proc/thread-self/ns/net';
    this.#opener = new PortOpener(this.#switch.memory, home, this.#ring);
    this.#executor = new Executor(this.#switch, this.#engine, this.#opener);
  }

  #startEngine(): Engine {
    const onControl = (since: number): void => this.#execute(since);
    const { controlFd } = this.#data;
    if (this.#ring === undefined) return new EpollEngine(this.#switch, controlFd, onControl);
    return new UringEngine(this.#switch, this.#ring, controlFd, onControl);
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
    for (let turn = 1; this.#executor.ending === undefined; turn++) {
      this.#engine.turn();
      if (turn % TURNS_A_LOOK === 0) this.#eagerness.look(monotonicMs());
      this.#report();
      // eslint-disable-next-line @typescript-eslint/await-thenable -- see above
      if (turn % UNAWAITED_TURNS === 0) await null;
    }
    this.#engine.close(); // before the ports: whoever waits for a device keeps it
    if (this.#executor.ending === 'leave') this.#switch.leave();
    else this.#switch.close();
    this.#ring?.close();
    this.#opener.close();
    this.#data.control.close();
  }

  #post(message: Message): void {
    this.#data.control.postMessage(message);
  }

  /** @param since nothing has been sent since that moment */
  #execute(since: number): void {
    for (let at = since; ; at = monotonicMs()) {
      const received = receiveMessageOnPort(this.#data.control) as { message: Request } | undefined;
      if (received === undefined) return;
      const { id, command, ask } = received.message;
      try {
        this.#post({ id, answer: this.#executor.execute(command, ask, at) });
      } catch (error) {
        this.#post({ id, error: StillwireError.from(error).toJSON() });
      }
    }
  }

  /** Tells the main thread what it has not asked for. */
  #report(): void {
    const { epoch } = this.#executor;
    if (this.#switch.overflowed && this.#overflowTold !== epoch) {
      this.#overflowTold = epoch;
      this.#post({ notice: 'overflow', epoch });
    }
    const reason = this.#storeFault ?? this.#switch.takeFault();
    this.#storeFault = undefined;
    if (reason !== undefined) this.#post({ notice: 'unsafe', reason });
    if (this.#switch.flooded) {
      this.#executor.breakHold();
      signalEvent(this.#data.controlFd); // what was held is served in the next turn, which nothing else may wake
    }
    const released = this.#executor.takeReleased();
    if (released !== undefined) {
      this.#post({
        notice: 'released',
        epoch: this.#executor.epoch,
        ...released,
        drainedAt: monotonicMs(),
      });
    }
    const batch = this.#executor.capture?.batch();
    if (batch !== undefined) this.#post({ notice: 'captured', ...batch });
  }
}

await new SwitchThread(workerData as ThreadData).run();
