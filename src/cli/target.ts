/** A file that a command writes for the user, or stdout. */
import { open } from 'node:fs/promises';
import { StillwireError } from '../errors/index.js';
import type { Session } from './session.js';

export interface Target {
  /** False when nobody reads any more. @throws StillwireError SYSCALL such as a full disk */
  write(data: Uint8Array): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * Opens FILE, readable by its owner only (frames carry what the guests say), or stdout for `-`.
 * @throws StillwireError USAGE when binary data would go to a terminal; SYSCALL when it cannot be opened
 */
export async function openTarget(session: Session, name: string): Promise<Target> {
  if (name === '-') {
    if (session.out.isTerminal) {
      throw new StillwireError('USAGE', 'packets would go to the terminal: name a file, or pipe them on');
    }
    return { write: (data) => session.out.write(data), close: () => Promise.resolve() };
  }
  const failed = (error: unknown): never => {
    throw new StillwireError(
      'SYSCALL',
      `cannot write ${name}: ${(error as Error).message}`,
      { path: name },
      error,
    );
  };
  const file = await open(name, 'w', 0o600).catch(failed);
  return {
    write: (data) => file.writeFile(data).then(() => true, failed),
    close: () => file.close(),
  };
}
