/**
 * Loaded into the soak's daemons beside their own code (NODE_OPTIONS=--import): collects garbage when told by SIGUSR2,
 * so that what the heap is said to hold is alive.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  process.on('SIGUSR2', () => collect());
}
