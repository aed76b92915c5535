/**
 * journal.json: the journal of a checkpoint or restart (checkpoint/journal.ts), in the network's run directory.
 *
 * Written beside and renamed, so that a reader finds the last entry or the one before, never half of one. Not synced:
 * only the process can die and leave guests behind; when the machine does, they are gone too, and a journal of another
 * boot says nothing.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { Journal, JournalEntry } from '../checkpoint/index.js';
import { StillwireError } from '../errors/index.js';
import { bootId } from './state-file.js';

const checkpoint = z.strictObject({ name: z.string(), draft: z.string(), path: z.string() });
const resume = z.array(z.string());

const entrySchema: z.ZodType<JournalEntry> = z.discriminatedUnion('phase', [
  z.strictObject({ phase: z.literal('cutting'), checkpoint, resume }),
  z.strictObject({ phase: z.literal('writing'), checkpoint }),
  z.strictObject({ phase: z.literal('killing'), checkpoint, resume }),
  z.strictObject({ phase: z.literal('loading'), image: z.string() }),
  z.strictObject({ phase: z.literal('resuming'), image: z.string(), resume }),
]);

const fileSchema = z.strictObject({ bootId: z.string(), network: z.string(), entry: entrySchema });

export class FileJournal implements Journal {
  readonly #path: string;
  readonly #network: string;

  constructor(path: string, network: string) {
    this.#path = path;
    this.#network = network;
  }

  record(entry: JournalEntry): void {
    const file: z.infer<typeof fileSchema> = { bootId: bootId(), network: this.#network, entry };
    try {
      writeFileSync(`${this.#path}.new`, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new StillwireError(
        'SYSCALL',
        `the journal cannot be written: ${message}`,
        { errno: code },
        error,
      );
    }
  }

  clear(): void {
    rmSync(this.#path, { force: true });
  }
}

/**
 * The entry that the last daemon left; undefined when it was in the middle of nothing, or in another boot; `damaged`
 * when there is something that is no journal of this network: then nobody knows which guests it had stopped.
 */
export function readJournal(path: string, network: string): JournalEntry | 'damaged' | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : 'damaged';
  }
  try {
    const file = fileSchema.parse(JSON.parse(text));
    if (file.bootId !== bootId()) return undefined;
    return file.network === network ? file.entry : 'damaged';
  } catch {
    return 'damaged';
  }
}
