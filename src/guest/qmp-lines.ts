/**
 * Cuts a byte stream into lines: QMP is one JSON document a line, and a line may come in pieces. A line that is not
 * whole yet lies in one buffer that doubles, so that it costs no more than twice its bytes, in however small pieces
 * somebody sends it.
 */

const NEWLINE = 0x0a;
const FIRST_BYTES = 4096;

export class LineSplitter {
  readonly #limit: number;
  #line = Buffer.alloc(0);
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
      lines.push(this.#complete(chunk.subarray(start, end)));
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return lines;
  }

  /** Bytes of a line begun and not ended. */
  get pending(): number {
    return this.#length;
  }

  #complete(rest: Buffer): string {
    if (this.#length === 0 && rest.length <= this.#limit) return rest.toString('utf8');
    this.#keep(rest);
    const line = this.#line.toString('utf8', 0, this.#length);
    this.#line = Buffer.alloc(0);
    this.#length = 0;
    return line;
  }

  #keep(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (length > this.#limit) throw new RangeError(`a line of more than ${this.#limit} bytes`);
    if (length > this.#line.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, 2 * length));
      this.#line.copy(larger, 0, 0, this.#length);
      this.#line = larger;
    }
    piece.copy(this.#line, this.#length);
    this.#length = length;
  }
}
