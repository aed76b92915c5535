/** Which running network is meant: the one named; else the only one there is; else that of the network file here. */
import { readNetworkFile } from '../definition/index.js';
import { StillwireError } from '../errors/index.js';
import { isName } from '../image/index.js';
import { readRemains } from './remains.js';
import { pathsOf } from './run-directory.js';
import { runningNetworks, staleError, type RunningNetwork } from './stale.js';

export interface Choice {
  /** As -n gives it. */
  readonly network?: string;
  /** Network file whose name decides between several; default ./stillwire.yaml. */
  readonly file?: string;
}

/**
 * The name of a network whose daemon lives.
 * @throws StillwireError NETWORK_NOT_FOUND, NETWORK_AMBIGUOUS, NAME_INVALID; DAEMON_UNREACHABLE when its daemon has died
 */
export async function chooseNetwork({ network, file = 'stillwire.yaml' }: Choice): Promise<string> {
  if (network !== undefined && !isName(network)) {
    throw new StillwireError('NAME_INVALID', `${JSON.stringify(network)} is not a valid name of a network`);
  }
  const found = await runningNetworks();
  if (network !== undefined) return living(network, found);
  const running = found.filter(({ state }) => state === 'running');
  if (running.length === 1) return running[0]!.network;
  const here = await nameIn(file);
  if (here !== undefined && found.some((one) => one.network === here)) return living(here, found);
  const names = running.map((one) => one.network);
  if (names.length > 1) {
    const words = `${names.length} networks are running: ${names.join(', ')}`;
    throw new StillwireError('NETWORK_AMBIGUOUS', words, { networks: names });
  }
  const [stale] = found;
  if (stale !== undefined) return living(stale.network, found);
  throw new StillwireError('NETWORK_NOT_FOUND', 'no network is running');
}

function living(network: string, found: readonly RunningNetwork[]): string {
  const state = found.find((one) => one.network === network)?.state;
  if (state === 'running') return network;
  if (state === undefined) {
    throw new StillwireError('NETWORK_NOT_FOUND', `no network ${network} is running`, { network });
  }
  throw staleError(readRemains(network, pathsOf(network)), 'DAEMON_UNREACHABLE');
}

/** The network a file names; a file that is missing or wrong names none. */
async function nameIn(file: string): Promise<string | undefined> {
  return readNetworkFile(file).then(
    ({ definition }) => definition.network,
    () => undefined,
  );
}
