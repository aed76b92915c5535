/** Options of a pcapng block as a reader meets them: every length is checked before its value is looked at. */
import { StillwireError } from '../errors/index.js';
import { ENTERPRISE_NUMBER, OPTION, padded } from './format.js';

/** The file, and the byte order of the section being read. */
export interface Source {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly littleEndian: boolean;
}

/** What a block's options can be asked for. A single-valued option given twice makes the file invalid. */
export interface Options {
  text(code: number): string | undefined;
  /** Comments may be many; they are joined by newlines. */
  comment(): string | undefined;
  u8(code: number): number | undefined;
  u32(code: number): number | undefined;
  u64(code: number): bigint | undefined;
  i64(code: number): bigint | undefined;
  /** The custom option of {@link ENTERPRISE_NUMBER}; others' are passed over. A view, not a copy. */
  custom(): Uint8Array | undefined;
}

interface Span {
  readonly at: number;
  readonly length: number;
}

export function invalid(offset: number, what: string): never {
  throw new StillwireError('IMAGE_INVALID', `pcapng: byte ${offset}: ${what}`, { offset });
}

// fatal: bytes that are not UTF-8 are damage. ignoreBOM: a text is kept as it stands.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeText({ bytes }: Source, { at, length }: Span): string {
  try {
    return utf8.decode(bytes.subarray(at, at + length));
  } catch {
    return invalid(at, 'text that is not UTF-8');
  }
}

/** Walks the list; the end mark may be missing when the block ends there, as the format allows. */
function spansByCode({ view, littleEndian }: Source, start: number, end: number): Map<number, Span[]> {
  const found = new Map<number, Span[]>();
  let at = start;
  while (at < end) {
    // Blocks and options are whole 32-bit words, so four bytes are there.
    const code = view.getUint16(at, littleEndian);
    const length = view.getUint16(at + 2, littleEndian);
    if (code === OPTION.end) {
      if (length !== 0 || at + 4 !== end) invalid(at, 'the end of options is not the end of the block');
      break;
    }
    const next = at + 4 + padded(length);
    if (next > end) invalid(at, `option ${code} of ${length} bytes reaches past its block`);
    const span = { at: at + 4, length };
    const spans = found.get(code);
    if (spans === undefined) found.set(code, [span]);
    else spans.push(span);
    at = next;
  }
  return found;
}

/**
 * Reads the options between two word-aligned offsets.
 * @throws StillwireError IMAGE_INVALID here and from every question, with the offset and what is wrong there
 */
export function readOptions(source: Source, start: number, end: number): Options {
  const { bytes, view, littleEndian } = source;
  const found = spansByCode(source, start, end);

  const only = (code: number, spans: readonly Span[] | undefined): Span | undefined => {
    if (spans !== undefined && spans.length > 1) invalid(spans[1]!.at - 4, `option ${code} is given twice`);
    return spans?.[0];
  };
  const sized = (code: number, length: number): number | undefined => {
    const span = only(code, found.get(code));
    if (span !== undefined && span.length !== length) {
      invalid(span.at - 4, `option ${code} has ${span.length} bytes, not ${length}`);
    }
    return span?.at;
  };
  const map = <T>(at: number | undefined, read: (at: number) => T): T | undefined =>
    at === undefined ? undefined : read(at);

  return {
    text: (code) => {
      const span = only(code, found.get(code));
      return span && decodeText(source, span);
    },
    comment: () =>
      found
        .get(OPTION.comment)
        ?.map((span) => decodeText(source, span))
        .join('\n'),
    u8: (code) => map(sized(code, 1), (at) => view.getUint8(at)),
    u32: (code) => map(sized(code, 4), (at) => view.getUint32(at, littleEndian)),
    u64: (code) => map(sized(code, 8), (at) => view.getBigUint64(at, littleEndian)),
    i64: (code) => map(sized(code, 8), (at) => view.getBigInt64(at, littleEndian)),
    custom: () => {
      const ours = found.get(OPTION.custom)?.filter(({ at, length }) => {
        if (length < 4) invalid(at - 4, 'a custom option without an enterprise number');
        return view.getUint32(at, littleEndian) === ENTERPRISE_NUMBER;
      });
      const span = only(OPTION.custom, ours);
      return span && bytes.subarray(span.at + 4, span.at + span.length);
    },
  };
}
