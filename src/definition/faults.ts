/** The faults of a network file: collected while it is read, thrown together as one error. */
import { StillwireError } from '../errors/index.js';

/** A place in the file: 1-based; columns count UTF-16 code units, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Fault extends Position {
  /** One line, without the file's name. */
  readonly message: string;
}

// C0, DEL, C1, line separators, bidirectional overrides: what could move a terminal's cursor or hide a word.
// eslint-disable-next-line no-control-regex -- they are the point
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** A text from the file as one line that is safe on a terminal. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A word from the file in quotes; what is too long to read is cut. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}

/** Beyond this many it is no network file, and nobody reads on. */
const MAX_FAULTS = 1000;

export class FaultList {
  // One wrong node read twice (an alias, a default) is still one fault.
  private readonly faults = new Map<string, Fault>();

  add({ line, column }: Position, message: string): void {
    if (this.faults.size === MAX_FAULTS) return;
    const fault = { line, column, message: printable(message) };
    this.faults.set(`${line}:${column}:${fault.message}`, fault);
  }

  get empty(): boolean {
    return this.faults.size === 0;
  }

  /** All faults (the first 1000 found) as one FILE_INVALID in the order of the file, one line each; `details.faults` is {@link Fault}[]. */
  error(path: string): StillwireError {
    const faults = [...this.faults.values()].sort((a, b) => a.line - b.line || a.column - b.column);
    const lines = faults.map((fault) => `${printable(path)}:${fault.line}:${fault.column}: ${fault.message}`);
    return new StillwireError('FILE_INVALID', lines.join('\n'), { file: path, faults });
  }
}
