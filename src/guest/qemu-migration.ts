/**
 * QEMU's own migration, out to an open file and in from one.
 *
 * The file is a plain one and QEMU writes or reads it itself (`fd:`): no program and no copy between. `file:` would do
 * the same and exists from 8.2 on only.
 *
 *   out   getfd, migrate, wait for the event. The guest is stopped, so there is one pass over its RAM and nothing to
 *         converge; a page of zeroes costs 9 bytes. Bandwidth is unlimited, the default being 128 MiB/s. The
 *         `completed` event comes from the migration thread a moment before the run state leaves `finish-migrate`,
 *         and `cont` is refused until it has: so the state is asked until it has moved on.
 *   in    QEMU was started with `-incoming defer -S`; migrate-incoming on a descriptor it inherited. A state it
 *         cannot load ends QEMU 7.2 ("load of migration failed"): that arrives as the end of the connection.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import { ask, MigrateAnswer, StatusAnswer } from './qemu-answers.js';
import { COMMAND_TIMEOUT_MS, type QmpClient } from './qmp.js';

/** Bytes a second; QEMU takes a 64-bit number, and JSON a power of two that a double holds exactly. */
export const UNLIMITED_BANDWIDTH = 2 ** 60;
/** How long a cancelled migration may take to say so. */
const CANCEL_TIMEOUT_MS = 10_000;
/** Name under which QEMU holds the file until `migrate` takes it. */
const FD_NAME = 'stillwire-state';

export const FINAL: ReadonlySet<unknown> = new Set(['completed', 'failed', 'cancelled']);
/** How often a migration that somebody else began is asked whether it has ended. */
const CANCEL_POLL_MS = 5;

/** Makes migration fast and heard. Once per QEMU. */
export async function prepareMigration(qmp: QmpClient): Promise<void> {
  await Promise.all([
    qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] }),
    qmp.execute('migrate-set-parameters', {
      'max-bandwidth': UNLIMITED_BANDWIDTH,
    }),
  ]);
}

/**
 * Ends a migration that another client began and did not live to see: cancelled, and waited for. None is no error. The
 * guest is as the stop before that migration left it.
 * @throws StillwireError QMP_TIMEOUT when QEMU does not cancel; GUEST_FAILED when it is still loading a state
 */
export async function abandonMigration(qmp: QmpClient, guest: string): Promise<void> {
  const { status } = await ask(qmp, StatusAnswer, 'query-status');
  if (status === 'inmigrate') {
    throw new StillwireError('GUEST_FAILED', 'it has not loaded the state it was started with', { guest });
  }
  const deadline = performance.now() + CANCEL_TIMEOUT_MS;
  for (let asked = false; ; asked = true) {
    const { status: migration = 'none' } = await ask(qmp, MigrateAnswer, 'query-migrate');
    if (migration === 'none' || FINAL.has(migration)) break;
    if (!asked) await qmp.execute('migrate_cancel');
    if (performance.now() > deadline) {
      const words = `guest ${guest}: QEMU did not cancel saving within ${CANCEL_TIMEOUT_MS} ms`;
      throw new StillwireError('QMP_TIMEOUT', words, { guest });
    }
    await delay(CANCEL_POLL_MS);
  }
  await untilSettled(qmp, guest);
}

/** Runs `begin` and waits for the migration it begins to end one way or another. */
async function migrate(qmp: QmpClient, begin: () => Promise<unknown>): Promise<string> {
  const stops: (() => void)[] = [];
  const final = new Promise<string>((resolve, reject) => {
    stops.push(
      qmp.onEvent(({ event, data }) => {
        if (event === 'MIGRATION' && FINAL.has(data['status'])) resolve(String(data['status']));
      }),
      qmp.onClosed(reject),
    );
  });
  final.catch(() => undefined); // `begin` may fail of the same and be heard first
  try {
    await begin();
    return await final;
  } finally {
    for (const stop of stops) stop();
  }
}

/** Waits until the run state says that the migration is over. Each question takes QEMU's lock, so it does not spin. */
async function untilSettled(qmp: QmpClient, guest: string): Promise<void> {
  const deadline = performance.now() + COMMAND_TIMEOUT_MS;
  for (;;) {
    const { status } = await ask(qmp, StatusAnswer, 'query-status');
    if (status !== 'finish-migrate' && status !== 'inmigrate') return;
    if (performance.now() < deadline) continue;
    throw new StillwireError(
      'QMP_TIMEOUT',
      `guest ${guest}: migration has ended and QEMU stays in ${status}`,
      { guest },
    );
  }
}

/** The error for a migration that did not complete, with QEMU's reason. */
async function migrationError(qmp: QmpClient, guest: string, status: string): Promise<StillwireError> {
  const { 'error-desc': reason } = await ask(qmp, MigrateAnswer, 'query-migrate');
  return new StillwireError(
    'GUEST_FAILED',
    `migration ${status}${reason === undefined ? '' : `: ${reason}`}`,
    { guest },
  );
}

/** Hands QEMU the file and tells it to begin. The question goes out with the descriptor and costs no round trip. */
async function beginSaving(qmp: QmpClient, guest: string, fd: number): Promise<void> {
  const [{ running }] = await Promise.all([ask(qmp, StatusAnswer, 'query-status'), qmp.getfd(FD_NAME, fd)]);
  try {
    if (running) throw new StillwireError('GUEST_FAILED', 'it is running', { guest });
    await qmp.execute('migrate', { uri: `fd:${FD_NAME}` });
  } catch (error) {
    await qmp.execute('closefd', { fdname: FD_NAME }).catch(() => undefined); // `migrate` may have taken it
    throw error;
  }
}

/**
 * Writes a stopped guest's state into an open file; an abort of `signal` cancels that. The guest stays paused whatever
 * comes of it. Resolves when all is written; after an abort this may still be so.
 * @throws StillwireError GUEST_FAILED with QEMU's words, also when cancelled; QMP_TIMEOUT; GUEST_DIED
 */
export async function writeState(
  qmp: QmpClient,
  guest: string,
  fd: number,
  signal: AbortSignal,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let giveUp!: (error: Error) => void;
  const stuck = new Promise<never>((_, reject) => (giveUp = reject));
  stuck.catch(() => undefined); // nobody may be waiting any more
  const cancel = (): void => {
    const words = `guest ${guest}: QEMU did not cancel saving within ${CANCEL_TIMEOUT_MS} ms`;
    timer ??= setTimeout(
      () => giveUp(new StillwireError('QMP_TIMEOUT', words, { guest })),
      CANCEL_TIMEOUT_MS,
    );
    qmp.execute('migrate_cancel').catch(() => undefined); // what comes of it is told by the event, or by the timer
  };
  signal.addEventListener('abort', cancel);
  try {
    const begin = async (): Promise<void> => {
      await beginSaving(qmp, guest, fd);
      if (signal.aborted) cancel(); // an abort before `migrate` had nothing to cancel
    };
    const status = await Promise.race([migrate(qmp, begin), stuck]);
    await untilSettled(qmp, guest);
    if (status !== 'completed') throw await migrationError(qmp, guest, status);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancel);
  }
}

/**
 * Loads a state from descriptor `fd` of QEMU's process, which QEMU closes. The guest is paused then.
 * @throws StillwireError GUEST_FAILED; GUEST_DIED when QEMU gave up
 */
export function loadState(qmp: QmpClient, guest: string, fd: number): Promise<void> {
  return load(qmp, guest, `fd:${fd}`);
}

/** The same from a descriptor of ours. */
export async function handState(qmp: QmpClient, guest: string, fd: number): Promise<void> {
  await qmp.getfd(FD_NAME, fd);
  return load(qmp, guest, `fd:${FD_NAME}`);
}

async function load(qmp: QmpClient, guest: string, uri: string): Promise<void> {
  const status = await migrate(qmp, () => qmp.execute('migrate-incoming', { uri }));
  if (status !== 'completed') throw await migrationError(qmp, guest, status);
  await untilSettled(qmp, guest);
}
