/**
 * The life of a daemon, whether detached or in the foreground.
 *
 *   claim    lock and directory of the network     taken → NETWORK_EXISTS; left by a dead one → what it left is taken up
 *                                                  again by `up` if it can be, else NETWORK_STALE
 *   bring    up, restart or restore                failure or signal → nothing is left, or what the dead one left
 *   serve    socket answers, ready is told         guests may end by themselves; the network stays
 *   end      a signal, `down`, a checkpoint with kill, or the switch thread died
 *            socket closes; a running checkpoint is aborted and undone; held frames are released
 *            guests killed, namespace removed; directory and lock last
 *
 * A network that cannot be removed keeps its directory and lock file, for `stillwire down` to find.
 */
import { join } from 'node:path';
import { keepInheritedFds } from '../sys/index.js';
import { saveMark, takeCheckpoint, type LiveNetwork } from '../checkpoint/index.js';
import { isAdopted, type NetworkDefinition } from '../definition/index.js';
import { StillwireError } from '../errors/index.js';
import { readManifest } from '../image/index.js';
import { bring } from './bring.js';
import { Claim } from './claim.js';
import { Control } from './control.js';
import { Ending } from './ending.js';
import { Faults, parseFaults, type FaultAction } from './faults.js';
import { FileJournal } from './journal.js';
import { checkpointsOf, type Job, type ReadyReport, type StartEvent } from './job.js';
import { keepBounded, type BoundedFile } from './log-bounds.js';
import { openLog, type Logger } from './log.js';
import { Notifier } from './notify.js';
import { ApiServer } from './server.js';

/** Bounds of our log and of what a QEMU says; the run directory is often in memory. */
const LOG_BYTES = 4 * 1024 * 1024;
/**
 * How long guests may take to read what is on its way to them, at a checkpoint that DMTCP began: they run meanwhile, and
 * nobody is there to ask for another.
 */
const FOREIGN_DRAIN_MS = 1_000;
/** What DMTCP's coordinator of the network says, a prompt a second among it. */
const DMTCP_LOG = 'dmtcp-coordinator.log';
/** Bound of what a guest prints on its console. */
const CONSOLE_LOG_BYTES = 64 * 1024 * 1024;

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
  keepInheritedFds();
  const faults = parseFaults(process.env['STILLWIRE_FAIL_AT'] ?? '');
  const ending = new Ending(hooks.signal);
  try {
    const claim = await Claim.take(job, await definitionOf(job));
    await new Daemon(job, hooks, claim, ending, faults).run();
  } finally {
    ending.dispose();
  }
}

/** What the network will be. */
async function definitionOf(job: Job): Promise<NetworkDefinition> {
  if (job.kind === 'up') return job.definition;
  const { definition } = await readManifest(job.directory);
  return { ...definition, network: job.as ?? definition.network };
}

class Daemon<J extends Job> {
  readonly #job: J;
  readonly #hooks: DaemonHooks<J>;
  readonly #claim: Claim;
  readonly #ending: Ending;
  readonly #log: Logger;
  readonly #faults: Faults;
  readonly #notifier = new Notifier();

  constructor(
    job: J,
    hooks: DaemonHooks<J>,
    claim: Claim,
    ending: Ending,
    faults: ReadonlyMap<string, FaultAction>,
  ) {
    this.#job = job;
    this.#hooks = hooks;
    this.#claim = claim;
    this.#ending = ending;
    this.#log = openLog(claim.paths.log);
    const onStrike = (fault: string, action: FaultAction): void => this.#log.warn({ fault, action }, 'fault');
    this.#faults = new Faults(faults, { directory: claim.paths.directory, onStrike });
  }

  async run(): Promise<void> {
    this.#log.info({ job: this.#job.kind, network: this.#claim.network }, 'starting');
    try {
      await this.#live();
    } catch (error) {
      this.#log.error({ err: error }, 'failed');
      throw error;
    } finally {
      await this.#claim.release();
    }
  }

  async #live(): Promise<void> {
    const { live, hold, report } = await bring(this.#job, {
      claim: this.#claim,
      faults: this.#faults,
      signal: this.#ending.signal,
      onEvent: this.#hooks.onEvent ?? (() => undefined),
      onLoaded: (loaded) => this.#claim.record(loaded.guests.values(), loaded.network),
    });
    const stopBounding = keepBounded(this.#logsOf(live));
    try {
      live.network.outlive(); // now that it has been written down
      live.network.on('unsafe', (reason) =>
        this.#log.warn({ reason }, 'a hold would not survive this daemon'),
      );
      live.on('guestEnded', (guest, reason) => this.#log.warn({ guest, reason }, 'guest ended'));
      live.on('wavedThrough', (guests, reason) =>
        this.#log.warn({ guests, reason }, "guests go through a checkpoint of DMTCP's without us"),
      );
      live.on('failed', (error) => this.#ending.fail(error));
      const control = this.#controlOf(live);
      live.onForeignCheckpoint = () => this.#meetForeign(control);
      if (hold !== undefined) control.adopt(hold);
      // What bring() answers is the report of this very job.
      await this.#serve(live, control, report as ReadyReport<J>);
    } finally {
      stopBounding();
      // A network that was found is kept until it answers again.
      await (this.#claim.keeps ? live.leave() : live.close());
    }
    if (this.#ending.fault !== undefined) throw this.#ending.fault;
  }

  /** What grows by what others write: our log, what each QEMU says, what each guest prints. */
  #logsOf(live: LiveNetwork): BoundedFile[] {
    const { directory, log } = this.#claim.paths;
    const guests = Object.entries(live.definition.guests);
    const said = [log, join(directory, DMTCP_LOG), ...guests.map(([name]) => join(directory, `${name}.log`))];
    const printed = guests.flatMap(([, guest]) => (isAdopted(guest) ? [] : (guest.consoleLog ?? [])));
    return [
      ...said.map((path) => ({ path, bytes: LOG_BYTES })),
      ...printed.map((path) => ({ path, bytes: CONSOLE_LOG_BYTES })),
    ];
  }

  #controlOf(live: LiveNetwork): Control {
    return new Control({
      live,
      checkpoints: checkpointsOf(this.#job, live.definition.network),
      takeCheckpoint: (options) =>
        takeCheckpoint(live, {
          ...options,
          journal: new FileJournal(this.#claim.paths.journal, live.definition.network),
          beforePhase: this.#faults.of('checkpoint'),
        }),
      saveMark: (mark, place) => saveMark(live.definition, mark, place),
      onDown: (why) => this.#ending.interrupt(`because ${why}`),
    });
  }

  /** DMTCP has begun a checkpoint that was not asked for here: one of the network is taken with it. */
  async #meetForeign(control: Control): Promise<void> {
    const name = `dmtcp-${new Date().toISOString().replaceAll(':', '-')}`;
    try {
      const operation = control.checkpoint({ name, bounds: { drainMs: FOREIGN_DRAIN_MS } });
      this.#log.info({ checkpoint: name }, 'DMTCP has begun a checkpoint: one of the network is taken');
      await operation.ended;
      const { view } = operation;
      if (view.state === 'failed') throw StillwireError.fromJSON(view.error ?? {});
    } catch (error) {
      this.#log.warn(
        { err: error, checkpoint: name },
        'a checkpoint that DMTCP began is none of the network',
      );
      throw error;
    }
  }

  async #serve(live: LiveNetwork, control: Control, report: ReadyReport<J>): Promise<void> {
    const onError = (error: StillwireError): void => this.#log.error({ err: error }, 'fault in a request');
    const server = await ApiServer.listen(control, this.#claim.paths.socket, onError);
    try {
      await this.#notifier.ready({ answers: () => live.network.ledger() });
      this.#log.info({ socket: this.#claim.paths.socket }, 'ready');
      this.#claim.settle();
      this.#hooks.onReady?.(report);
      await this.#ending.come();
      this.#log.info({ why: this.#ending.reason.message }, 'ending');
    } finally {
      server.refuse();
      void this.#notifier.stopping();
      await control.close(this.#ending.reason);
      await server.close();
    }
  }
}
