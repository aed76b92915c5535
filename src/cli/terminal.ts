/** Where the program's words go. Data on stdout, all else on stderr; a reader who has gone away is no error. */
import type { Writable } from 'node:stream';

/** A standard stream, or a test's. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Escape sequences that are left in: our own colours. Anything else from a guest or a file could rule the terminal. */
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /\u001b(?!\[(?:0|1|2|31|32|33)m)|[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f]/g;

export const printable = (text: string): string => text.replace(UNPRINTABLE, '?');

const COLORS = { bold: 1, dim: 2, bad: 31, good: 32, warn: 33 } as const;
export type Paint = (color: keyof typeof COLORS, text: string) => string;

export class Channel {
  readonly #output: Output;
  #gone = false;
  readonly paint: Paint;

  constructor(output: Output, color: boolean) {
    this.#output = output;
    const colored = color && output.isTTY === true;
    this.paint = (name, text) => (colored ? `\u001b[${COLORS[name]}m${text}\u001b[0m` : text);
    output.on('error', this.#onError);
  }

  // The stream also tells its writer, below; unheard, the event would end the process.
  readonly #onError = (error: NodeJS.ErrnoException): void => {
    this.#gone ||= error.code === 'EPIPE';
  };

  get isTerminal(): boolean {
    return this.#output.isTTY === true;
  }

  /** Width in characters; 80 when unknown. */
  get columns(): number {
    return this.#output.columns ?? 80;
  }

  /** Resolves when the reader has room for more: false when there is no reader any more. */
  write(data: string | Uint8Array): Promise<boolean> {
    if (this.#gone) return Promise.resolve(false);
    return new Promise((resolve, reject) => {
      this.#output.write(data, (error?: Error | null) => {
        const { code } = (error ?? {}) as NodeJS.ErrnoException;
        if (error && code !== 'EPIPE' && code !== 'ERR_STREAM_DESTROYED') reject(error);
        else resolve(!error);
      });
    });
  }

  /** Text and a line feed, made harmless. */
  line(text: string): Promise<boolean> {
    return this.write(`${printable(text)}\n`);
  }

  close(): void {
    this.#output.off('error', this.#onError);
  }
}
