/** What we change in a QEMU for its migrations, read beforehand: somebody else's gets it back when it is let go. */
import { ask, MigrateCapabilitiesAnswer, MigrateParametersAnswer } from './qemu-answers.js';
import { UNLIMITED_BANDWIDTH } from './qemu-migration.js';
import type { QmpClient } from './qmp.js';

export interface MigrationSettings {
  /** Bytes a second. */
  readonly bandwidth: number;
  /** Whether migrations are told as events. */
  readonly events: boolean;
}

/** QEMU's own (migration/options.c). */
const DEFAULTS: MigrationSettings = { bandwidth: 128 * 2 ** 20, events: false };
/** A QEMU that does not answer is let go without. */
const PUT_BACK_TIMEOUT_MS = 1000;

/** @throws as `ask` */
export async function readMigrationSettings(qmp: QmpClient): Promise<MigrationSettings> {
  const [{ 'max-bandwidth': bandwidth }, capabilities] = await Promise.all([
    ask(qmp, MigrateParametersAnswer, 'query-migrate-parameters'),
    ask(qmp, MigrateCapabilitiesAnswer, 'query-migrate-capabilities'),
  ]);
  // Ours: a daemon before us was killed, and what had been there before died with it.
  if (bandwidth === UNLIMITED_BANDWIDTH) return DEFAULTS;
  return { bandwidth, events: capabilities.some((one) => one.capability === 'events' && one.state) };
}

/** Never rejects: who lets go of a QEMU does so whatever it answers. */
export async function putBackMigrationSettings(
  qmp: QmpClient,
  { bandwidth, events }: MigrationSettings,
): Promise<void> {
  const options = { timeoutMs: PUT_BACK_TIMEOUT_MS };
  const capabilities = [{ capability: 'events', state: events }];
  await Promise.allSettled([
    qmp.execute('migrate-set-parameters', { 'max-bandwidth': bandwidth }, options),
    qmp.execute('migrate-set-capabilities', { capabilities }, options),
  ]);
}
