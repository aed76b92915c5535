/** The definition that a dead daemon left, to take its network up without its file. */
import { readDefinition, type StoredDefinition } from './definition-file.js';
import { pathsOf } from './run-directory.js';
import { runningNetworks } from './stale.js';

/** Of a network whose daemon died; undefined when there is none of this name. @throws StillwireError NAME_INVALID */
export async function storedDefinition(network: string): Promise<StoredDefinition | undefined> {
  const { definition } = pathsOf(network);
  const found = (await runningNetworks()).find((each) => each.network === network);
  return found?.state === 'stale' ? readDefinition(definition) : undefined;
}
