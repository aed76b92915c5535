/** The product as demo and soak drive it: a daemon of its own per network, spoken to as the command line does. */
import { DaemonClient, removeStale, runningNetworks } from '../daemon/index.js';
import { StillwireError } from '../errors/index.js';

/** @throws StillwireError NETWORK_EXISTS, NETWORK_STALE when a network of this name is there, living or dead */
export async function refuseRunning(network: string): Promise<void> {
  const found = (await runningNetworks()).find((each) => each.network === network);
  if (found === undefined) return;
  const code = found.state === 'running' ? 'NETWORK_EXISTS' : 'NETWORK_STALE';
  throw new StillwireError(code, `a network called ${network} is ${found.state}`, { network });
}

/** Ends the network, whatever state it is in; none is no error. */
export async function endNetwork(network: string): Promise<void> {
  const found = (await runningNetworks()).find((each) => each.network === network);
  if (found === undefined) return;
  if (found.state === 'stale') return removeStale(network);
  await (await DaemonClient.connect({ network })).down();
}
