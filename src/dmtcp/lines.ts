/**
 * The language between the DMTCP plugin in a guest's process and this daemon: docs/dmtcp-protocol.md. Lines of text,
 * `WORD key=value key=value`; in values `%20` stands for a space, `%25` for a percent sign, and so on for every ASCII.
 *
 * What comes in is from a process that a guest's owner may have replaced, so it is read strictly: a word or key that is
 * not in the language, a number that is none, a line too long, and the conversation is over.
 */
import { z } from 'zod';
import { StillwireError } from '../errors/index.js';

export const PROTOCOL_VERSION = 1;
/** Of a line, its line feed included. */
export const MAX_LINE_BYTES = 1024;
/** The id in a plugin's memory, and so in its image, when the image belongs to no checkpoint of ours. */
export const NO_CHECKPOINT = 'none';

const number = (most: number) =>
  z
    .string()
    .regex(/^\d{1,10}$/)
    .transform(Number)
    .refine((value) => value <= most);
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
const pid = number(2 ** 31 - 1);
const nics = number(1024);
const who = { version: number(65_535), guest: name, pid, nics };

const REPORTS = {
  /** A checkpoint of DMTCP's begins; all threads of the guest run yet. */
  PRESUSPEND: z.strictObject(who),
  /** The threads of all processes of the computation are suspended. */
  PRECHECKPOINT: z.strictObject({}),
  /** The image is written, or with forked checkpointing being written; the threads are suspended still. */
  RESUME: z.strictObject({ image: z.string().max(900).exactOptional() }),
  /** The process was brought back from an image, which has this id in it. */
  RESTART: z.strictObject({ ...who, checkpoint: z.string().regex(/^[0-9a-z-]{1,64}$/) }),
  /** The descriptor of this NIC has taken the place of the old one. */
  ATTACHED: z.strictObject({ nic: nics }),
} as const;

export type ReportWord = keyof typeof REPORTS;
export type Report = { [W in ReportWord]: { readonly word: W } & z.output<(typeof REPORTS)[W]> }[ReportWord];
export type ReportOf<W extends ReportWord> = Extract<Report, { readonly word: W }>;

const isWord = (word: string): word is ReportWord => Object.hasOwn(REPORTS, word);

/** A fault of the other side, in words that follow the guest's name. */
export const fault = (words: string): StillwireError =>
  new StillwireError('GUEST_FAILED', `its DMTCP plugin ${words}`);

const shown = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);

function decode(value: string): string {
  return value.replace(/%.{0,2}/g, (code) => {
    if (!/^%[0-7][0-9a-f]$/i.test(code)) throw fault(`sent a value with ${shown(code)} in it`);
    return String.fromCharCode(Number.parseInt(code.slice(1), 16));
  });
}

/** One line, without its line feed. @throws StillwireError GUEST_FAILED when it is not of the language */
export function parseReport(line: string): Report {
  // eslint-disable-next-line no-control-regex -- they are what must not be there
  if (/[\u0000-\u001f\u007f]/.test(line)) throw fault('sent a control character');
  const [word = '', ...pairs] = line.split(' ');
  if (!isWord(word)) throw fault(`sent ${shown(line)}, which this version does not know`);
  const values = new Map<string, string>();
  for (const pair of pairs) {
    const [, key, value] = /^([a-z]{1,32})=(.*)$/.exec(pair) ?? [];
    if (key === undefined || value === undefined || values.has(key))
      throw fault(`sent ${shown(line)}: ${shown(pair)} is not to be understood`);
    values.set(key, decode(value));
  }
  const read = REPORTS[word].safeParse(Object.fromEntries(values));
  if (read.success) return { word, ...read.data } as Report;
  const [issue] = read.error.issues;
  throw fault(`sent ${shown(line)}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'wrong'}`);
}

const encode = (value: string): string =>
  value.replaceAll('%', '%25').replaceAll(' ', '%20').replaceAll('\n', '%0a');

/** Reasons are for people, and cut to what fits into a line. */
const LONGEST_VALUE = 600;

/** An answer as a line, with its line feed. */
export function answerLine(
  word: 'GO' | 'SKIP' | 'REFUSE' | 'ATTACH',
  values: Readonly<Record<string, string | number>> = {},
): string {
  const pairs = Object.entries(values).map(
    ([key, value]) => ` ${key}=${encode(cut(String(value), LONGEST_VALUE))}`,
  );
  return `${word}${pairs.join('')}\n`;
}

/** The beginning of a text that takes at most so many bytes when it is encoded. */
function cut(text: string, bytes: number): string {
  // eslint-disable-next-line no-control-regex -- a reason may quote what QEMU said
  const plain = text.replace(/[\u0000-\u0009\u000b-\u001f\u007f]/g, '?');
  let end = plain.length;
  while (Buffer.byteLength(encode(plain.slice(0, end))) > bytes) end = Math.floor(end * 0.9);
  return plain.slice(0, end);
}

/** Takes bytes as they come and gives the whole lines in them. */
export class LineReader {
  #rest = Buffer.alloc(0);

  /** @throws StillwireError GUEST_FAILED for a line of more than {@link MAX_LINE_BYTES} */
  push(bytes: Buffer): string[] {
    const lines: string[] = [];
    let rest = Buffer.concat([this.#rest, bytes]);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      if (end >= MAX_LINE_BYTES) break;
      lines.push(rest.toString('utf8', 0, end));
      rest = rest.subarray(end + 1);
    }
    if (rest.length >= MAX_LINE_BYTES) throw fault(`sent a line of more than ${MAX_LINE_BYTES} bytes`);
    this.#rest = Buffer.from(rest);
    return lines;
  }
}
