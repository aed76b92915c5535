/** What is being done, on stderr: one line that grows on a terminal, a line each elsewhere. */
import { milliseconds } from './format.js';
import type { Channel } from './terminal.js';

const ERASE_LINE = '\r\u001b[K';

export class Progress {
  readonly #err: Channel;
  readonly #wanted: boolean;
  #parts: string[] = [];

  constructor(err: Channel, wanted: boolean) {
    this.#err = err;
    this.#wanted = wanted;
  }

  /** A phase that has ended. */
  phase(name: string, ms: number): void {
    this.#tell(`${name} ${milliseconds(ms)}`);
  }

  /** A step, in words. */
  step(text: string): void {
    this.#tell(text);
  }

  /** Ends the growing line, so that other words may follow. */
  end(): void {
    if (this.#parts.length === 0) return;
    this.#parts = [];
    if (this.#err.isTerminal) void this.#err.write('\n');
  }

  #tell(text: string): void {
    if (!this.#wanted) return;
    if (!this.#err.isTerminal) {
      void this.#err.line(text);
      return;
    }
    this.#parts.push(text);
    // The newest words count: a line too long for the terminal loses its beginning.
    while (this.#parts.length > 1 && this.#line().length >= this.#err.columns) this.#parts.shift();
    void this.#err.write(ERASE_LINE + this.#err.paint('dim', this.#line()));
  }

  #line(): string {
    return this.#parts.join(' · ');
  }
}
