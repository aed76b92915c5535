/**
 * Starting a QEMU machine as a guest: process → QMP → migration prepared → (state loaded, paused).
 *
 * Whatever fails on the way, the process is killed and waited for, and the error carries what QEMU last said. An
 * abort is no special case: it kills the process, and the rest fails by itself.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { StillwireError } from '../errors/index.js';
import type { QemuDefinition } from '../definition/definition.js';
import { closeFd, O_RDONLY, openFd } from '../sys/fd.js';
import type { Guest } from './guest.js';
import { qemuArguments } from './qemu-arguments.js';
import { QemuGuest } from './qemu-guest.js';
import { hashBootFiles } from './qemu-identity.js';
import { loadState, prepareMigration } from './qemu-migration.js';
import { FIRST_FD, QemuProcess } from './qemu-process.js';
import { QmpClient } from './qmp.js';

/** How long QEMU may take from its start to its QMP greeting. */
const START_TIMEOUT_MS = 30_000;

export interface StartQemuOptions {
  readonly name: string;
  readonly definition: QemuDefinition;
  /** Our descriptors of the TAPs, or ends of datagram pairs, in the order of the NICs. Inherited; the caller keeps and closes its own. */
  readonly tapFds: readonly number[];
  /** Further descriptors that are to live as long as the guest does: it inherits them and does not use them. */
  readonly keptFds?: readonly number[];
  /** Exists. Takes the QMP socket NAME.qmp and QEMU's output NAME.log. */
  readonly runDirectory: string;
  /** Resolved machine type in place of the definition's: a restart needs the one the state was saved on. */
  readonly machine?: string;
  /** Load this state and stay paused. Absent: boot and run. */
  readonly incoming?: { readonly stateFile: string };
  /** Ends the attempt, and only that: the process is killed. */
  readonly signal: AbortSignal;
}

/**
 * Starts a guest. Resolves when QEMU answers and the guest runs, or when its state is loaded and it is paused.
 * @throws StillwireError MISSING_PROGRAM; PATH_TOO_LONG; GUEST_FAILED with QEMU's words; QMP_TIMEOUT; SYSCALL when
 *   the state cannot be opened; the signal's reason
 */
export async function startQemu(options: StartQemuOptions): Promise<Guest> {
  const { name, definition, runDirectory, incoming, signal } = options;
  signal.throwIfAborted();
  const qmpSocket = join(runDirectory, `${name}.qmp`);
  const process = await startProcess(options, qmpSocket);
  const { console } = definition;
  if (console !== undefined) void process.ended.then(() => rmSync(console, { force: true })); // QEMU leaves it
  const kill = (): void => void process.kill();
  signal.addEventListener('abort', kill, { once: true });
  if (signal.aborted) kill();
  try {
    const qmp = await connectTo(process, qmpSocket, name);
    await prepareMigration(qmp);
    if (incoming !== undefined) await loadState(qmp, name, FIRST_FD + options.tapFds.length);
    signal.throwIfAborted();
    return new QemuGuest(name, process, qmp, definition.memory * 2 ** 20, hashBootFiles(name, definition));
  } catch (error) {
    const about = incoming === undefined ? 'could not be started' : 'could not be loaded';
    const words = (await process.explain(error)).replace(`guest ${name}: `, '');
    await process.kill();
    if (signal.aborted) throw signal.reason;
    const code = error instanceof StillwireError && error.code !== 'GUEST_DIED' ? error.code : 'GUEST_FAILED';
    throw new StillwireError(code, `guest ${name} ${about}: ${words}`, { guest: name }, error);
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

/** The state's descriptor, if any, follows those of the TAPs. */
async function startProcess(options: StartQemuOptions, qmpSocket: string): Promise<QemuProcess> {
  const { name, definition, runDirectory, machine, incoming } = options;
  const args = qemuArguments(definition, {
    name,
    qmpSocket,
    tapFds: options.tapFds.map((_, index) => FIRST_FD + index),
    incoming: incoming !== undefined,
    ...(machine === undefined ? {} : { machine }),
  });
  rmSync(qmpSocket, { force: true }); // an earlier QEMU's: we would reach that one
  const stateFd = incoming === undefined ? undefined : openFd(incoming.stateFile, O_RDONLY);
  const fds = [...options.tapFds, ...(stateFd === undefined ? [] : [stateFd]), ...(options.keptFds ?? [])];
  try {
    const logFile = join(runDirectory, `${name}.log`);
    return await QemuProcess.start({ guest: name, program: definition.qemu, args, fds, logFile });
  } finally {
    if (stateFd !== undefined) closeFd(stateFd);
  }
}

/** Tries until QEMU's socket is there or its process has ended. */
function connectTo(process: QemuProcess, path: string, guest: string): Promise<QmpClient> {
  const gone = new AbortController();
  void process.ended.then((reason) => gone.abort(new StillwireError('GUEST_DIED', reason, { guest })));
  return QmpClient.connect(path, { guest, timeoutMs: START_TIMEOUT_MS, signal: gone.signal });
}
