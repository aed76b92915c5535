/** The benchmark's own C programs, in bench/, built where the run lives. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from './program.js';
import { StillwireError } from '../errors/index.js';
import type { Ground } from './ground.js';

const SOURCES = fileURLToPath(new URL('../../bench/', import.meta.url));

/**
 * Compiles bench/NAME.c; the program's path.
 * @param flags further ones, such as -static
 * @throws StillwireError MISSING_PROGRAM without a compiler, SYSCALL with its words
 */
export async function compile(ground: Ground, name: string, ...flags: string[]): Promise<string> {
  if ((await findProgram('cc')) === undefined) {
    throw new StillwireError(
      'MISSING_PROGRAM',
      'no C compiler (cc): on Debian, apt-get install gcc libc6-dev',
    );
  }
  const program = join(ground.directory, [name, ...flags].join(''));
  await ground.run(
    {},
    'cc',
    '-std=gnu11',
    '-O2',
    '-Wall',
    ...flags,
    '-o',
    program,
    join(SOURCES, `${name}.c`),
  );
  return program;
}
