/**
 * A test guest's serial console: commands go in through its socket, and what it says is read from its log, which
 * goes on over a restart and misses nothing while nobody is connected.
 */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import { consoleLog, consolePipe, consoleSocket } from './traffic-network.js';

const POLL_MS = 50;
/** QEMU takes a line as fast as the guest's serial port does; a guest that is starved needs a while. */
const SEND_BOUND_MS = 10_000;

export interface Patience {
  readonly withinMs: number;
  readonly signal?: AbortSignal;
}

export class GuestConsole {
  readonly #socket: string;
  readonly #log: string;
  readonly #pipe: string;

  constructor(
    readonly guest: string,
    directory: string,
  ) {
    this.#socket = consoleSocket(directory, guest);
    this.#log = consoleLog(directory, guest);
    this.#pipe = `${consolePipe(directory, guest)}.in`;
  }

  /** Every whole line it has said, without line ends. */
  async lines(): Promise<string[]> {
    const text = await readFile(this.#log, 'latin1').catch(() => '');
    return text.split(/\r*\n/).slice(0, -1);
  }

  /** Types a line. @throws StillwireError GUEST_FAILED when the console takes nothing */
  async type(line: string): Promise<void> {
    if (existsSync(this.#pipe)) return writeFile(this.#pipe, `${line}\n`, { flag: 'r+' });
    await new Promise<void>((resolve, reject) => {
      const socket = connect(this.#socket);
      const fail = (why: string): void => {
        socket.destroy();
        const words = `guest ${this.guest}: its console takes no input: ${why}`;
        reject(new StillwireError('GUEST_FAILED', words, { guest: this.guest }));
      };
      socket.setTimeout(SEND_BOUND_MS, () => fail('no answer'));
      socket.on('error', (error) => fail(error.message));
      socket.on('close', () => resolve());
      socket.resume();
      // Half-closed: QEMU reads to the end before it closes its side, so nothing typed is lost.
      socket.end(`${line}\n`);
    });
  }

  /**
   * Waits for a line that begins with `word`, the first after `after` such lines.
   * @returns what follows the word
   * @throws StillwireError TIMED_OUT with the last line said
   */
  async said(word: string, { withinMs, signal }: Patience, after = 0): Promise<string> {
    const end = performance.now() + withinMs;
    for (;;) {
      const lines = await this.lines();
      const line = lines.filter((each) => each === word || each.startsWith(`${word} `))[after];
      if (line !== undefined) return line.slice(word.length).trim();
      if (performance.now() > end) {
        const last = lines.findLast((each) => each.trim() !== '')?.slice(0, 200) ?? 'nothing';
        const words = `guest ${this.guest} did not say ${word} within ${withinMs} ms; it said last: ${last}`;
        throw new StillwireError('TIMED_OUT', words, { guest: this.guest });
      }
      await delay(POLL_MS, undefined, { signal });
    }
  }

  /** Asks a question and waits for its answer: one more line with `word` than before. */
  async ask(question: string, word: string, patience: Patience): Promise<string> {
    const before = (await this.lines()).filter((each) => each.startsWith(`${word} `)).length;
    await this.type(question);
    return this.said(word, patience, before);
  }
}
