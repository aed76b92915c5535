/** What somebody else's QEMU must not have, as QEMU itself tells it. Nothing of it is changed by asking. */
import { StillwireError } from '../errors/index.js';
import { fdsOpenOn } from '../sys/pidfd.js';
import { ask, MigrateAnswer, ObjectsAnswer, StatusAnswer, TextAnswer } from './qemu-answers.js';
import { FINAL } from './qemu-migration.js';
import type { QmpClient } from './qmp.js';

const VHOST_DEVICE = '/dev/vhost-net';
/** Of QEMU's net filters the one that only looks: it takes a copy, and the frame goes on at once (net/dump.c). */
const PASSIVE_FILTER = 'child<filter-dump>';
/** Run states in which a state is being written or loaded. */
const MIGRATING: ReadonlySet<string> = new Set(['inmigrate', 'finish-migrate']);

export function refuse(guest: string, why: string, details: Readonly<Record<string, unknown>> = {}): never {
  throw new StillwireError('ADOPT_REFUSED', `guest ${guest}: ${why}`, { guest, ...details });
}

/**
 * Refuses a QEMU in which frames go, or wait, where neither its TAP's ring nor its stop shows them.
 * @throws StillwireError ADOPT_REFUSED; as `ask`
 */
export async function refuseHiddenFrames(guest: string, pid: number, qmp: QmpClient): Promise<void> {
  if (fdsOpenOn(pid, VHOST_DEVICE).length > 0) refuse(guest, 'its network goes through vhost-net (vhost=on)');
  const objects = await ask(qmp, ObjectsAnswer, 'qom-list', { path: '/objects' });
  const filter = objects.find(({ type }) => type.startsWith('child<filter-') && type !== PASSIVE_FILTER);
  if (filter !== undefined) refuse(guest, `it has a net filter, ${filter.name}`, { filter: filter.name });
  const network = await ask(qmp, TextAnswer, 'human-monitor-command', { 'command-line': 'info network' });
  const [hub] = /^hub \d+/m.exec(network) ?? [];
  if (hub !== undefined) refuse(guest, `its network goes through a hub (${hub})`);
}

/** @throws StillwireError ADOPT_REFUSED while its owner saves, moves or loads it; as `ask` */
export async function refuseMigrating(guest: string, qmp: QmpClient): Promise<void> {
  const { status } = await ask(qmp, StatusAnswer, 'query-status');
  const { status: migration = 'none' } = await ask(qmp, MigrateAnswer, 'query-migrate');
  if (MIGRATING.has(status) || !(migration === 'none' || FINAL.has(migration)))
    refuse(guest, 'a migration of it is under way');
}
