/** `status`: what runs, and what has passed. */
import type { NetworkStatus } from '../checkpoint/index.js';
import type { StaleStatus } from '../daemon/index.js';
import { EXIT } from '../errors/index.js';
import { defineCommand } from './command.js';
import { bytes, table } from './format.js';

/** Such as `5 (oversize 3, queueFull 2)`. */
function describeDrops({ dropped, reasons }: NetworkStatus['ports'][number]['out']): string {
  const terms = Object.entries(reasons).map(([reason, count]) => `${reason} ${count}`);
  return terms.length === 0 ? String(dropped) : `${dropped} (${terms.join(', ')})`;
}

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
    describeDrops(port.out),
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

export function describeStale({ network, during, guests, advice }: StaleStatus): string {
  const rows = guests.map(({ name, state, pid, toResume }) => [
    name,
    toResume ? `${state}, to be resumed` : state,
    pid,
  ]);
  return [
    `network ${network}: its daemon died${during === undefined ? '' : ` during ${during}`}`,
    ...(guests.length > 0 ? [table(['GUEST', 'STATE', 'PID'], rows, '  ')] : []),
    `  ${advice}`,
  ].join('\n');
}

export const status = defineCommand({
  usage: 'status',
  group: 'network',
  summary: 'guests, ports, traffic and held frames of what runs',
  description: `Every running network, or the one that -n names. IN is what came from a guest, OUT what was given to it, in
frames; DISCARDED went no further by rule, DROPPED is lost (with the reason; oversize: longer than the port's MTU), HELD waits
to be delivered.

Of a network whose daemon died: which guests live, which stand still, what it was in the middle of, and what to do. When
-n names such a network the exit code is 3, else 0.`,
  async run(session) {
    const { DaemonClient, runningNetworks, staleStatus } = await session.daemonRoom();
    const { network: wanted } = session.flags;
    const all = await runningNetworks();
    const isDead = all.some(({ network, state }) => network === wanted && state === 'stale');
    const named = [{ network: wanted ?? '', state: isDead ? 'stale' : 'running' }];
    const found = wanted === undefined ? all : named;
    const stale = found.filter(({ state }) => state === 'stale').map(({ network }) => network);
    const [networks, remains] = await Promise.all([
      Promise.all(
        found
          .filter(({ state }) => state === 'running')
          .map(async ({ network }) => (await DaemonClient.connect({ network })).status(session.signal)),
      ),
      Promise.all(stale.map((network) => staleStatus(network))),
    ]);
    await session.document({ networks, stale, remains }, () =>
      found.length === 0
        ? 'no network is running'
        : [...networks.map(describeStatus), ...remains.map(describeStale)].join('\n\n'),
    );
    return isDead ? EXIT.unreachable : undefined;
  },
});
