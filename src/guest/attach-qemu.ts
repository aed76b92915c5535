/**
 * Taking up a QEMU that runs already: its daemon died, or somebody else started it.
 *
 *   process     held by pidfd, so that a recycled pid is never taken for it
 *   QMP         a monitor of `server=on,wait=off` takes one client at a time, and the next when that one has gone. The
 *               socket must be this process's own: another may have put one in its place
 *   TAPs        duplicates of its tun descriptors, taken out of it
 *   judgement   of somebody else's QEMU, before anything in it is changed
 *   migration   of ours: one under way was begun by a daemon that has died, and is cancelled and waited for. How fast and
 *               how audible migrations are is set as we need it, and put back when the QEMU is let go
 *
 * The machine's run state is not touched: whoever knows why it was stopped resumes it. Whatever fails, all is let go and
 * the process runs on as it did.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { QemuDefinition } from '../definition/definition.js';
import { StillwireError } from '../errors/index.js';
import { closeFd } from '../sys/fd.js';
import { fdsOpenOn, takeFd } from '../sys/pidfd.js';
import { FoundProcess } from './found-process.js';
import { takeTaps, type FoundTap } from './found-taps.js';
import type { Guest } from './guest.js';
import { QemuGuest } from './qemu-guest.js';
import { hashBootFiles, memoryOf } from './qemu-identity.js';
import {
  putBackMigrationSettings,
  readMigrationSettings,
  type MigrationSettings,
} from './migration-settings.js';
import { abandonMigration, handState, prepareMigration } from './qemu-migration.js';
import { QmpClient } from './qmp.js';

/** How long QEMU may take to notice that its last client has gone, and to greet us. */
const GREETING_TIMEOUT_MS = 10_000;

export interface AttachQemuOptions {
  readonly name: string;
  /** Of a QEMU that a daemon of ours started; `{}` for somebody else's. */
  readonly definition: Partial<Pick<QemuDefinition, 'memory' | 'kernel' | 'initrd' | 'console'>>;
  readonly pid: number;
  /** Clock ticks from boot to its start; absent: whoever has the pid now. */
  readonly startTime?: string;
  /** Path of its QMP socket. */
  readonly qmpSocket: string;
  /** Where its output NAME.log is looked for. */
  readonly runDirectory: string;
  /** It was started with `-S -incoming defer`: this state is loaded into it. The descriptor stays the caller's. */
  readonly incoming?: { readonly stateFd: number };
  /**
   * It is somebody else's: throws ADOPT_REFUSED, which is passed on as it is, when it is not to be attached to. Before
   * anything is changed; the TAPs are lent for the call. Its migrations are left alone.
   */
  readonly judge?: (qmp: QmpClient, taps: readonly FoundTap[]) => Promise<void>;
  /** Ends the attempt, and only that. */
  readonly signal: AbortSignal;
}

export interface AttachedQemu {
  readonly guest: Guest;
  /** Duplicates of its tun descriptors, the caller's to close. */
  readonly taps: readonly FoundTap[];
  /**
   * A duplicate of its descriptor of this name (`descriptorName`), the caller's to close; undefined when it has none.
   * @throws StillwireError NO_PRIVILEGE; GUEST_DIED, SYSCALL when it has ended
   */
  readonly take: (name: string) => number | undefined;
  /**
   * Lets go of the process and its monitor without ending it, its migration settings as they were. The guest object is
   * of no use afterwards. Never rejects; idempotent.
   */
  readonly letGo: () => Promise<void>;
}

/**
 * Attaches to a running QEMU.
 * @throws StillwireError GUEST_DIED when its process has ended; QMP_TIMEOUT; GUEST_FAILED when the socket is another's or
 *   a state was still being loaded; NO_PRIVILEGE; what `judge` throws; the signal's reason
 */
export async function attachQemu(options: AttachQemuOptions): Promise<AttachedQemu> {
  const { name, definition, pid, startTime, runDirectory } = options;
  const logFile = join(runDirectory, `${name}.log`);
  const process = FoundProcess.open({
    guest: name,
    pid,
    logFile,
    ...(startTime === undefined ? {} : { startTime }),
  });
  let qmp: QmpClient | undefined;
  let before: MigrationSettings | undefined;
  const letGo = async (): Promise<void> => {
    if (qmp !== undefined && before !== undefined) await putBackMigrationSettings(qmp, before);
    qmp?.close();
    process.release();
  };
  let taps: readonly FoundTap[] = [];
  let memory: number;
  try {
    qmp = await connectTo(process, options);
    if (qmp.peer.pid !== pid) {
      throw new StillwireError('GUEST_FAILED', `its QMP socket is that of process ${qmp.peer.pid}`);
    }
    taps = takeTaps(process);
    if (options.judge !== undefined) await options.judge(qmp, taps);
    else if (options.incoming === undefined) await abandonMigration(qmp, name);
    before = await readMigrationSettings(qmp);
    await prepareMigration(qmp);
    if (options.incoming !== undefined) await handState(qmp, name, options.incoming.stateFd);
    memory = definition.memory ?? (await memoryOf(qmp));
    options.signal.throwIfAborted();
  } catch (error) {
    const words = (await process.explain(error)).replace(`guest ${name}: `, '');
    const died = process.pid === undefined;
    await letGo();
    for (const { fd } of taps) closeFd(fd);
    if (options.signal.aborted) throw options.signal.reason;
    const { code } = StillwireError.from(error);
    if (code === 'ADOPT_REFUSED') throw error;
    throw new StillwireError(
      died ? 'GUEST_DIED' : code,
      `guest ${name} could not be attached to: ${words}`,
      { guest: name },
      error,
    );
  }
  const { console } = definition;
  if (console !== undefined) void process.ended.then(() => rmSync(console, { force: true })); // QEMU leaves it
  const hashes = hashBootFiles(name, definition);
  const guest = new QemuGuest(name, process, qmp, memory * 2 ** 20, hashes);
  const take = (link: string): number | undefined => {
    const [theirs] = fdsOpenOn(process.pid ?? 0, link);
    return theirs === undefined ? undefined : takeFd(process.pidfd, theirs);
  };
  return { guest, taps, take, letGo };
}

function connectTo(
  process: FoundProcess,
  { name, qmpSocket, signal }: AttachQemuOptions,
): Promise<QmpClient> {
  const gone = new AbortController();
  void process.ended.then((reason) => gone.abort(new StillwireError('GUEST_DIED', reason, { guest: name })));
  const either = AbortSignal.any([signal, gone.signal]);
  return QmpClient.connect(qmpSocket, { guest: name, timeoutMs: GREETING_TIMEOUT_MS, signal: either });
}
