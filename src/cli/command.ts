/**
 * How a command is told to the program. A command is plain data with a `run`; only parse.ts and options.ts know
 * the library that parses arguments, so that a command can be read, and tested, without it.
 */
import type { Option } from 'commander';
import type { Session } from './session.js';

/** Headings of the manual, in its order. */
export const GROUPS = {
  network: 'Networks:',
  checkpoint: 'Stored checkpoints (no daemon needed):',
  quiesce: 'The bare quiesce:',
  machine: 'This machine:',
} as const;

export interface Command<Flags = object> {
  /** With its operands: `restart <checkpoint>`. */
  readonly usage: string;
  readonly group: keyof typeof GROUPS;
  /** One line for the overview. */
  readonly summary: string;
  /** Whole paragraphs for `help COMMAND`; begins with the summary when absent. */
  readonly description?: string;
  readonly options?: readonly Option[];
  /**
   * Whether an interrupt waits for `run` to undo what it began, told by the session's signal. Other commands only
   * read: they are left where they stand.
   */
  readonly undoes?: boolean;
  /** @returns the exit code, 0 unless given @throws StillwireError */
  run(session: Session, operands: readonly string[], flags: Flags): Promise<number | undefined>;
}

/** Ties a command's flags to its `run`; the list of all commands does not know them. */
export function defineCommand<Flags = object>(command: Command<Flags>): Command {
  return command as Command;
}
