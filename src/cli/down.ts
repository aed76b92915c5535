/** `down`: ends a network, or removes what one left that ended badly. */
import { defineCommand } from './command.js';
import type { Session } from './session.js';

/** @returns the network that was ended */
async function end(session: Session): Promise<{ network: string; state: 'running' | 'stale' }> {
  const { runningNetworks, removeStale } = await session.daemonRoom();
  const found = await runningNetworks();
  const [only] = found.length === 1 ? found : [];
  const network = session.flags.network ?? only?.network;
  const entry = found.find((each) => each.network === network);
  if (entry?.state === 'stale') {
    await removeStale(entry.network);
    return entry;
  }
  const client = await session.connect();
  await client.down(session.signal);
  return { network: client.network, state: 'running' };
}

export const down = defineCommand({
  usage: 'down',
  group: 'network',
  summary: 'end a network: guests, TAPs, daemon',
  description: `Ends the guests, delivers nothing more, and removes devices, namespace and sockets. After a daemon has died it
ends its guests and removes what was left, a half image too. Stored checkpoints stay.`,
  undoes: true,
  async run(session) {
    const ended = await end(session);
    await session.document(ended, () =>
      ended.state === 'stale' ? `what ${ended.network} had left is removed` : `${ended.network} is down`,
    );
    return undefined;
  },
});
