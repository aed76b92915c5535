/** Cuts a byte stream into lines: QMP is one JSON document a line, and a line may come in pieces. */

const NEWLINE = 0x0a;

export class LineSplitter {
  readonly #limit: number;
  #pieces: Buffer[] = [];
  #length = 0;

  /** @param limit longest line in bytes, without its newline */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Takes in bytes and returns the lines they complete, without newlines.
   * @throws RangeError when a line is longer than the limit; the splitter is of no use then
   */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, end));
      lines.push(Buffer.concat(this.#pieces).toString('utf8'));
      this.#pieces = [];
      this.#length = 0;
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return lines;
  }

  /** Bytes of a line begun and not ended. */
  get pending(): number {
    return this.#length;
  }

  #keep(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#length += piece.length;
    if (this.#length > this.#limit) throw new RangeError(`a line of more than ${this.#limit} bytes`);
    this.#pieces.push(piece);
  }
}
