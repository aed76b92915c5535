/**
 * What systemd wants to know (sd_notify(3)): that the network is up, that it is ending, and, when the unit has a
 * watchdog, that the switch thread still answers. Node cannot send to a datagram socket of the unix family, so
 * systemd's own program does; the unit has `NotifyAccess=all` for it.
 */
import { execFile } from 'node:child_process';

export interface Watched {
  /** Resolves while the switch thread lives. */
  readonly answers: () => Promise<unknown>;
  /** During a hold no process is started: it would cost the guests time. */
  readonly isHeld: () => boolean;
}

export class Notifier {
  readonly #environment: Readonly<NodeJS.ProcessEnv>;
  #timer: NodeJS.Timeout | undefined;

  constructor(environment: Readonly<NodeJS.ProcessEnv> = process.env) {
    this.#environment = environment;
  }

  /** Resolves when it has been said, or at once without systemd; never rejects. */
  #say(...words: string[]): Promise<void> {
    const { NOTIFY_SOCKET: socket } = this.#environment;
    if (socket === undefined || socket === '') return Promise.resolve();
    return new Promise((resolve) => {
      execFile('systemd-notify', words, { timeout: 5_000 }, () => resolve());
    });
  }

  async ready(watched: Watched): Promise<void> {
    await this.#say('--ready', `--pid=${process.pid}`);
    this.#watch(watched);
  }

  stopping(): Promise<void> {
    clearInterval(this.#timer);
    return this.#say('STOPPING=1');
  }

  /** Feeds the watchdog at a third of its time, so that one turn lost to a hold does no harm. */
  #watch({ answers, isHeld }: Watched): void {
    const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = this.#environment;
    const periodMs = Number(usec) / 3_000;
    if (!(periodMs > 0) || (pid !== undefined && Number(pid) !== process.pid)) return;
    this.#timer = setInterval(() => {
      if (isHeld()) return;
      answers().then(
        () => this.#say('WATCHDOG=1'),
        () => undefined, // a dead switch thread ends the network by itself
      );
    }, periodMs).unref();
  }
}
