/** The daemon's log, JSON lines in the run directory; it goes with the network, and stays when the daemon crashes. */
import { pino, type Logger } from 'pino';

export type { Logger };

/** Level by $STILLWIRE_LOG: fatal, error, warn, info (default), debug, trace, silent. Written synchronously. */
export function openLog(path: string, environment: Readonly<NodeJS.ProcessEnv> = process.env): Logger {
  const wanted = environment['STILLWIRE_LOG'] ?? '';
  const level = wanted === 'silent' || wanted in pino.levels.values ? wanted : 'info';
  return pino(
    { level, base: { pid: process.pid } },
    pino.destination({ dest: path, sync: true, mode: 0o600 }),
  );
}
