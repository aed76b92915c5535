#!/usr/bin/env node
/**
 * The process of a detached daemon. Descriptor 3 is a socket to whoever launched it (launch.ts): the job comes in as
 * one line of JSON, then events go out as lines, the last being `ready` or `failed`. When the launcher goes away
 * before that, the start is given up; afterwards it does not matter.
 */
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { StillwireError } from '../errors/index.js';
import type { StartMessage } from './launch.js';

const launcher = new Socket({ fd: 3, readable: true, writable: true });
const gone = new AbortController();
launcher.on('error', () => gone.abort());
launcher.on('close', () => gone.abort());

/** Resolves when it is written, or when nobody reads it any more. */
const tell = (message: StartMessage): Promise<void> =>
  new Promise((resolve) => {
    if (launcher.destroyed) resolve();
    else launcher.write(`${JSON.stringify(message)}\n`, () => resolve());
  });

async function main(): Promise<void> {
  const [line] = (await once(createInterface({ input: launcher }), 'line')) as [string];
  // Loaded here, so that a part that is missing or broken is reported like any other failure.
  const { jobSchema } = await import('./job.js');
  const { runDaemon } = await import('./entry.js');
  const ending = new AbortController();
  const giveUp = (): void => ending.abort();
  gone.signal.addEventListener('abort', giveUp);
  await runDaemon(jobSchema.parse(JSON.parse(line)), {
    signal: ending.signal,
    onEvent: (event) => void tell(event),
    onReady: (report) => {
      gone.signal.removeEventListener('abort', giveUp);
      void tell({ event: 'ready', report }).then(() => launcher.destroy());
    },
  });
}

let code = 0;
try {
  await main();
} catch (error) {
  await tell({ event: 'failed', error: StillwireError.from(error).toJSON() });
  code = 1;
}
// Nothing that is still waited for somewhere may keep a daemon whose network is gone.
process.exit(code);
