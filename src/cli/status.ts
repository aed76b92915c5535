/** `status`: what runs, and what has passed. */
import type { NetworkStatus } from '../checkpoint/index.js';
import { defineCommand } from './command.js';
import { bytes, table } from './format.js';

export function describeStatus({ network, namespace, engine, held, guests, ports }: NetworkStatus): string {
  const where = namespace === undefined ? 'no devices' : `namespace ${namespace}`;
  const guestRows = guests.map(({ name, state, pid, ports: own }) => [name, state, pid, own.join(' ')]);
  const portRows = ports.map((port) => [
    port.port,
    port.kind,
    port.segment,
    port.device,
    port.in.frames,
    bytes(port.in.bytes),
    port.in.discarded,
    port.out.frames,
    bytes(port.out.bytes),
    port.out.dropped,
    port.held,
  ]);
  return [
    `network ${network}${held ? ', held' : ''}: ${where}, engine ${engine}`,
    ...(guests.length > 0 ? [table(['GUEST', 'STATE', 'PID', 'PORTS'], guestRows, '  ')] : []),
    table(
      ['PORT', 'KIND', 'SEGMENT', 'DEVICE', 'IN', 'BYTES', 'DISCARDED', 'OUT', 'BYTES', 'DROPPED', 'HELD'],
      portRows,
      '  ',
    ),
  ].join('\n');
}

export const status = defineCommand({
  usage: 'status',
  group: 'network',
  summary: 'guests, ports, traffic and held frames of what runs',
  description: `Every running network, or the one that -n names. IN is what came from a guest, OUT what was given to it, in
frames; DISCARDED went no further by rule, DROPPED is lost, HELD waits to be delivered.`,
  async run(session) {
    const { DaemonClient, runningNetworks } = await session.daemonRoom();
    const { network: wanted } = session.flags;
    const found = wanted === undefined ? await runningNetworks() : [{ network: wanted, state: 'running' }];
    const stale = found.filter(({ state }) => state === 'stale').map(({ network }) => network);
    const networks = await Promise.all(
      found
        .filter(({ state }) => state === 'running')
        .map(async ({ network }) => (await DaemonClient.connect({ network })).status(session.signal)),
    );
    const leftovers = stale.map(
      (network) =>
        `network ${network}: its daemon died; \`stillwire down -n ${network}\` removes what is left`,
    );
    await session.document({ networks, stale }, () =>
      found.length === 0
        ? 'no network is running'
        : [...networks.map(describeStatus), ...leftovers].join('\n\n'),
    );
    return undefined;
  },
});
