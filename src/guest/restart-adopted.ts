/**
 * Starting an adopted guest again, by the command its owner gives, and loading its state into it.
 *
 * The command finds in its environment what it has to hand to QEMU, and may stay in the foreground or end when QEMU has
 * become a daemon:
 *
 *   STILLWIRE_NETWORK   the network's name
 *   STILLWIRE_GUEST     the guest's name
 *   STILLWIRE_QMP       path where QEMU must listen:    -qmp unix:PATH,server=on,wait=off
 *   STILLWIRE_TAP_FDS   inherited descriptors, in the order of the NICs, separated by commas:
 *                                                       -netdev tap,id=…,fd=N,vhost=off
 *
 * and QEMU must wait:                                   -S -incoming defer
 *
 * The machine it describes must be the one that was saved: QEMU tells when it is not, and the restart fails.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { AdoptedDefinition } from '../definition/definition.js';
import { StillwireError } from '../errors/index.js';
import { closeFd, O_RDONLY, openFd } from '../sys/fd.js';
import { refuseHiddenFrames } from './adopt-checks.js';
import { listenerOf } from './adopt-qemu.js';
import { attachQemu, type AttachedQemu } from './attach-qemu.js';
import { FoundProcess } from './found-process.js';
import { FIRST_FD } from './qemu-process.js';

/** How long the command may take until QEMU listens. */
const START_TIMEOUT_MS = 30_000;
const RETRY_MS = 10;

export interface RestartAdoptedOptions {
  readonly network: string;
  readonly name: string;
  readonly definition: AdoptedDefinition;
  /** Our descriptors of its TAPs, in the order of the NICs. Inherited; the caller keeps its own. */
  readonly tapFds: readonly number[];
  /** Takes what the command prints, as NAME.log. */
  readonly runDirectory: string;
  readonly stateFile: string;
  readonly signal: AbortSignal;
}

/**
 * Resolves when the state is loaded; the guest is paused.
 * @throws StillwireError GUEST_NOT_RESTARTABLE; ADOPT_REFUSED when somebody listens on its QMP socket already, or
 *   the command starts a QEMU that could not be adopted;
 *   GUEST_FAILED with what the command said; the signal's reason
 */
export async function restartAdopted(options: RestartAdoptedOptions): Promise<AttachedQemu> {
  const { name, definition, runDirectory, stateFile, signal } = options;
  const { qmp: qmpSocket } = definition.adopt;
  if ((await listenerOf(qmpSocket)) !== undefined) {
    const words = `guest ${name} runs already: somebody listens on ${qmpSocket}`;
    throw new StillwireError('ADOPT_REFUSED', words, { guest: name, path: qmpSocket });
  }
  const stateFd = openFd(stateFile, O_RDONLY);
  let started: FoundProcess | undefined;
  try {
    const pid = await start(options);
    started = FoundProcess.open({ guest: name, pid, logFile: join(runDirectory, `${name}.log`) });
    return await attachQemu({
      name,
      definition: {},
      pid,
      qmpSocket,
      runDirectory,
      incoming: { stateFd },
      judge: (qmp) => refuseHiddenFrames(name, pid, qmp),
      signal,
    });
  } catch (error) {
    // It was started for this, and waits for a state that will not come. Why not is told, whatever comes of the kill.
    await started?.kill().catch(() => undefined);
    throw error;
  } finally {
    started?.release();
    closeFd(stateFd);
  }
}

/** Runs the command until QEMU listens; QEMU's pid. */
async function start(options: RestartAdoptedOptions): Promise<number> {
  const { network, name, definition, tapFds, runDirectory, signal } = options;
  const { qmp, restart } = definition.adopt;
  const [program, ...args] = restart ?? [];
  if (program === undefined) {
    throw new StillwireError('GUEST_NOT_RESTARTABLE', `guest ${name} has no adopt.restart`, { guest: name });
  }
  const env = {
    ...process.env,
    STILLWIRE_NETWORK: network,
    STILLWIRE_GUEST: name,
    STILLWIRE_QMP: qmp,
    STILLWIRE_TAP_FDS: tapFds.map((_, index) => FIRST_FD + index).join(','),
  };
  const failed = (words: string): StillwireError =>
    new StillwireError('GUEST_FAILED', `guest ${name}: ${program} ${words}; it printed into ${log}`, {
      guest: name,
      log,
    });
  const log = join(runDirectory, `${name}.log`);
  const output = openSync(log, 'w', 0o600);
  const command = spawn(program, args, { detached: true, stdio: ['ignore', output, output, ...tapFds], env });
  closeSync(output);
  let fault: StillwireError | undefined;
  command.once('error', ({ message }) => (fault = failed(`could not be run: ${message}`)));
  command.once('exit', (code, killer) => {
    if (code !== 0)
      fault = failed(killer === null ? `ended with code ${code ?? '?'}` : `was ended by ${killer}`);
  });
  command.unref();
  try {
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      signal.throwIfAborted();
      if (fault !== undefined) throw fault;
      const pid = await listenerOf(qmp);
      if (pid !== undefined) return pid;
      if (performance.now() > deadline) throw failed(`made no QMP socket ${qmp} in ${START_TIMEOUT_MS} ms`);
      await delay(RETRY_MS);
    }
  } catch (error) {
    command.kill('SIGKILL');
    throw error;
  }
}
