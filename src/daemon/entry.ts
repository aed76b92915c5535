/**
 * The life of a daemon, whether detached or in the foreground.
 *
 *   claim    lock and directory of the network     taken → NETWORK_EXISTS, left by a dead one → NETWORK_STALE
 *   bring    up, restart or restore                failure or signal → nothing is left
 *   serve    socket answers, ready is told         guests may end by themselves; the network stays
 *   end      a signal, `down`, a checkpoint with kill, or the switch thread died
 *            socket closes; a running checkpoint is aborted and undone; held frames are released
 *            guests killed, namespace removed; directory and lock last
 *
 * When the network cannot be removed, directory and lock file stay for `stillwire down` to find.
 */
import { saveMark, takeCheckpoint, type LiveNetwork } from '../checkpoint/index.js';
import { StillwireError } from '../errors/index.js';
import { readManifest } from '../image/index.js';
import { bring } from './bring.js';
import { Claim } from './claim.js';
import { Control } from './control.js';
import { Ending } from './ending.js';
import { checkpointsOf, type Job, type ReadyReport, type StartEvent } from './job.js';
import { openLog, type Logger } from './log.js';
import { Notifier } from './notify.js';
import { ApiServer } from './server.js';

export interface DaemonHooks<J extends Job = Job> {
  readonly onEvent?: (event: StartEvent) => void;
  /** The network is up and answers. */
  readonly onReady?: (report: ReadyReport<J>) => void;
  /** Ends the network, like SIGTERM, SIGINT and SIGHUP, which are listened to anyway. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a network in this process. Resolves when it has ended as somebody wished, and nothing is left of it.
 * @throws StillwireError what kept it from starting; INTERRUPTED when it was ended before it was ready; what broke it
 */
export async function runDaemon<J extends Job>(job: J, hooks: DaemonHooks<J> = {}): Promise<void> {
  const ending = new Ending(hooks.signal);
  try {
    const network = await networkOf(job);
    const claim = await Claim.take(network);
    await new Daemon(job, hooks, claim, ending).run();
  } finally {
    ending.dispose();
  }
}

/** The name the network will have. */
async function networkOf(job: Job): Promise<string> {
  if (job.kind === 'up') return job.definition.network;
  return job.as ?? (await readManifest(job.directory)).definition.network;
}

class Daemon<J extends Job> {
  readonly #notifier = new Notifier();
  readonly #log: Logger;

  constructor(
    private readonly job: J,
    private readonly hooks: DaemonHooks<J>,
    private readonly claim: Claim,
    private readonly ending: Ending,
  ) {
    this.#log = openLog(claim.paths.log);
  }

  async run(): Promise<void> {
    const { job, hooks, claim, ending } = this;
    this.#log.info({ job: job.kind, network: claim.network }, 'starting');
    try {
      const { live, hold, report } = await bring(job, claim, ending.signal, hooks.onEvent ?? (() => undefined));
      try {
        claim.record(live.guests.values());
        live.on('guestEnded', (guest, reason) => this.#log.warn({ guest, reason }, 'guest ended'));
        live.on('failed', (error) => ending.fail(error));
        const control = this.#controlOf(live);
        if (hold !== undefined) control.adopt(hold);
        await this.#serve(live, control, report as ReadyReport<J>);
      } finally {
        await live.close();
      }
    } catch (error) {
      this.#log.error({ err: error }, 'failed');
      // A network that could not be removed is left as it is, to be found by `down`.
      if (!(await this.#isGone())) throw error;
      await claim.release();
      throw error;
    }
    await claim.release();
    if (ending.fault !== undefined) throw ending.fault;
  }
}
