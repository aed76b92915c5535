/**
 * What systemd wants to know (sd_notify(3)): that the network is up, that it is ending, and, when the unit has a
 * watchdog, that the switch thread still answers. It is one datagram each, sent from here: no process is started, so
 * the watchdog is fed during a hold too, which may last longer than its time, and costs the guests nothing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { sendDatagramTo } from '../sys/index.js';

export interface Watched {
  /** Resolves while the switch thread lives. */
  readonly answers: () => Promise<unknown>;
}

/** How often, and how many times, that is tried which must be heard, while systemd's queue is full. */
const RETRY_MS = 50;
const RETRIES = 100;

export class Notifier {
  readonly #environment: Readonly<NodeJS.ProcessEnv>;
  #timer: NodeJS.Timeout | undefined;

  constructor(environment: Readonly<NodeJS.ProcessEnv> = process.env) {
    this.#environment = environment;
  }

  /** @returns false when it is worth saying again: systemd's queue is full. Without systemd nothing is. */
  #say(...words: string[]): boolean {
    const { NOTIFY_SOCKET: socket } = this.#environment;
    if (socket === undefined || socket === '') return true;
    try {
      return sendDatagramTo(socket, Buffer.from(words.join('\n')));
    } catch {
      return true; // nobody listens
    }
  }

  /** Resolves when it has been said, or at once without systemd; never rejects. */
  async #insist(...words: string[]): Promise<void> {
    for (let i = 0; i < RETRIES && !this.#say(...words); i++) await delay(RETRY_MS);
  }

  async ready(watched: Watched): Promise<void> {
    await this.#insist('READY=1', `MAINPID=${process.pid}`);
    this.#watch(watched);
  }

  stopping(): Promise<void> {
    clearInterval(this.#timer);
    return this.#insist('STOPPING=1');
  }

  /** Feeds the watchdog at a third of its time, so that one turn lost to a full queue does no harm. */
  #watch({ answers }: Watched): void {
    const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = this.#environment;
    const periodMs = Number(usec) / 3_000;
    if (!(periodMs > 0) || (pid !== undefined && Number(pid) !== process.pid)) return;
    this.#timer = setInterval(() => {
      answers().then(
        () => this.#say('WATCHDOG=1'),
        () => undefined, // a dead switch thread ends the network by itself
      );
    }, periodMs).unref();
  }
}
