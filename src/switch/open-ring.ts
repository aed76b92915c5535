/**
 * Which engine turns a switch: io_uring where the kernel allows it, epoll everywhere. It is a matter of the machine and
 * not of the network, so neither a network file nor an image says anything about it.
 */
import { StillwireError } from '../errors/index.js';
import { Ring } from '../sys/index.js';

/** `auto`: io_uring where it can be had. */
export const ENGINES = ['auto', 'io_uring', 'epoll'] as const;
export type EngineChoice = (typeof ENGINES)[number];

/** Environment variable that chooses the engine of every switch started by this process; for tests and measurements. */
const VARIABLE = 'STILLWIRE_ENGINE';

/** @throws StillwireError USAGE when the environment names no engine */
export function chosenEngine(environment: NodeJS.ProcessEnv = process.env): EngineChoice {
  const word = environment[VARIABLE] ?? 'auto';
  const choice = ENGINES.find((engine) => engine === word);
  if (choice !== undefined) return choice;
  throw new StillwireError('USAGE', `${VARIABLE} is "${word}"; it may be ${ENGINES.join(', ')}`);
}

/**
 * The ring to work with; undefined for epoll.
 * @param open for tests: another kernel
 * @throws StillwireError SYSCALL, NO_PRIVILEGE when io_uring is demanded and cannot be had
 */
export function openRing(choice: EngineChoice, open = (): Ring => new Ring()): Ring | undefined {
  if (choice === 'epoll') return undefined;
  try {
    return open();
  } catch (error) {
    if (choice === 'auto') return undefined;
    throw error;
  }
}
