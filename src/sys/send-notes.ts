/**
 * Which frames of a burst have been sent, as the kernel notes it: sendmmsg(2) stores the length of each message in its
 * header once it has been sent, and takes no signal between the two (net/socket.c, __sys_sendmmsg). So if the headers
 * lie in memory that outlives the process, whoever comes after a SIGKILL knows what went out, to the frame.
 *
 * A page of notes is MAX_NOTED struct mmsghdr; the note of message `i` is its msg_len, 0 while it has not been sent.
 * There is one page per thread, as there is one burst at a time.
 */
import type { Arena } from './memory.js';

/** sizeof(struct mmsghdr) on 64 bit; msg_len lies at 56. */
export const MESSAGE_BYTES = 64;
const LENGTH_AT = 56;

export const MAX_NOTED = 64;
export const NOTES_BYTES = MAX_NOTED * MESSAGE_BYTES;

/** Notes lie at `offset` of `arena`. */
export interface NotesPage {
  readonly arena: Arena;
  readonly offset: number;
}

let page: NotesPage | undefined;

/** Until it is called with undefined, every send of this thread is noted in `to`. */
export function noteSendsIn(to: NotesPage | undefined): void {
  page = to;
}

/** Forgets the first `count` notes. */
export function clearNotes({ arena, offset }: NotesPage, count: number): void {
  for (let i = 0; i < count; i++) arena.bytes.writeUInt32LE(0, offset + i * MESSAGE_BYTES + LENGTH_AT);
}

/** Whether message `i` has been sent. */
export const isNoted = (notes: Buffer, i: number): boolean =>
  notes.readUInt32LE(i * MESSAGE_BYTES + LENGTH_AT) !== 0;

/** Whether sends are noted now. */
export const areNoted = (): boolean => page !== undefined;

/** For who sends without sendmmsg: frame `i` of the burst has been sent. */
export function noteSent(i: number): void {
  if (page === undefined || i >= MAX_NOTED) return;
  page.arena.bytes.writeUInt32LE(1, page.offset + i * MESSAGE_BYTES + LENGTH_AT);
}

/** Address of the headers `from` to `to` of a vector whose headers begin at 0 of `own`, where the kernel is to note. */
export function headersToSend(own: Arena, from: number, to: number): number {
  const start = from * MESSAGE_BYTES;
  if (page === undefined || to > MAX_NOTED) return own.address + start;
  const { arena, offset } = page;
  // Lengths of an earlier send are cleared before the copy: in the page they would be notes.
  for (let i = from; i < to; i++) own.bytes.writeUInt32LE(0, i * MESSAGE_BYTES + LENGTH_AT);
  own.bytes.copy(arena.bytes, offset + start, start, to * MESSAGE_BYTES);
  return arena.address + offset + start;
}
