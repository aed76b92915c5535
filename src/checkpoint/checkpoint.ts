/**
 * A checkpoint of a whole network: every guest and every frame between them, at one instant.
 *
 *   look     disks, run states, identities; a directory is prepared. Nothing is touched yet
 *   cut      the sequence of the quiesce: hold … mark, save each guest, resume, release
 *   commit   frames written, everything made durable and hashed, manifest last
 *
 * With `kill` the commit stands inside the cut: guests end only once the image is durable, the network stays held, and
 * a failed commit resumes and releases as any failure does. A guest that dies or resets on the way, a lost hold or the
 * caller's abort ends it the same way: no image, everybody running, traffic flowing.
 */
import { randomUUID } from 'node:crypto';
import { isDmtcp } from '../definition/index.js';
import { StillwireError } from '../errors/index.js';
import type { Guest } from '../guest/index.js';
import { ImageDraft, removeCheckpoint, type CommittedImage, type GuestRecord } from '../image/index.js';
import { Mark, type LeasedChannel, type Release } from '../network/index.js';
import {
  DEFAULT_METHOD,
  DEFAULT_UNREADY,
  runSequence,
  type Channel,
  type DrainBounds,
  type QuiesceMethod,
  type UnreadyPolicy,
} from '../quiesce/index.js';
import type { MarkAnswer } from '../switch/index.js';
import { monotonicMs } from '../sys/index.js';
import { Crew } from './crew.js';
import { everyone } from './everyone.js';
import { NO_JOURNAL, NO_STEP, type Journal, type Step } from './journal.js';
import type { LiveNetwork } from './live-network.js';
import { imageReport, type CheckpointReport } from './report.js';
import { Stopwatch } from './stopwatch.js';
import { writeImage } from './write-image.js';

export interface CheckpointOptions {
  readonly name: string;
  /** Where the checkpoints of this network go; made when missing. */
  readonly directory: string;
  /** Default {@link DEFAULT_METHOD}. */
  readonly method?: QuiesceMethod;
  /** What to do about a guest that takes no frames. Default {@link DEFAULT_UNREADY}. */
  readonly unready?: UnreadyPolicy;
  readonly bounds?: Partial<DrainBounds>;
  /** Give up, with nothing changed, when the cut cannot be proven. */
  readonly requireProof?: boolean;
  /** End the guests once the image is durable. The caller closes the network then. */
  readonly kill?: boolean;
  readonly signal: AbortSignal;
  /** Told when each phase ends, with its length in milliseconds. */
  readonly onPhase?: (phase: string, ms: number) => void;
  /**
   * Called before each phase, and between them at `saving` (every guest is being saved), `frames`, `commit`, `rename`,
   * and with kill `committed` and `kill`; what it throws is a failure of that phase. For the injection of faults.
   */
  readonly beforePhase?: (phase: string) => Promise<void>;
  /** Told what whoever comes after us would need to know, should this process be killed. */
  readonly journal?: Journal;
  /** For tests: stands between the sequence and the switch. */
  readonly wrapChannel?: (channel: Channel<MarkAnswer>) => Channel<MarkAnswer>;
}

/** A checkpoint holds no longer than this, whatever happens to us. */
const LEASE_MS = 15 * 60_000;
const NOTHING = Promise.resolve();
/** How long the report waits for the queues to run empty. */
const RELEASE_BOUND_MS = 10_000;

/** A state of DMTCP's is its image of a process, and its programs want the name to end so. */
const stateFile = (guest: string, dmtcp: boolean): string =>
  `guests/${guest}/state.${dmtcp ? 'dmtcp' : 'qemu'}`;

/**
 * Takes one checkpoint.
 * @throws StillwireError DISK_NOT_SAVED, NETWORK_BUSY, NETWORK_HELD, NAME_INVALID, CHECKPOINT_EXISTS before anything is
 *   touched; GUEST_DIED, GUEST_FAILED, HOLD_OVERFLOW, NOT_PROVEN, NOT_QUIET, LEDGER_MISMATCH, COMMIT_FAILED with
 *   everything undone
 */
export function takeCheckpoint(live: LiveNetwork, options: CheckpointOptions): Promise<CheckpointReport> {
  return live.exclusively(() => new Taking(live, options).run());
}

/** A failure, with the guests that it left standing still and what to do about them. */
function withStranded(error: unknown, guests: readonly string[]): unknown {
  if (guests.length === 0) return error;
  const { code, message, details } = StillwireError.from(error);
  const words =
    `${message}; not resumed yet: ${guests.join(', ')}. It is tried again every second, and \`stillwire status\` ` +
    'shows when it has come to pass; if it never does, end the process of that guest';
  return new StillwireError(code, words, { ...details, stranded: guests }, error);
}

class Taking {
  readonly #live: LiveNetwork;
  readonly #options: CheckpointOptions;
  readonly #watch: Stopwatch;
  readonly #step: Step;
  readonly #journal: Journal;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  #mark: Mark | undefined;
  /** Known before the guests are saved: it gets into those states that can carry it. */
  readonly #id = randomUUID();
  /** To be called in the end, whatever came. */
  readonly #undo: (() => void)[] = [];

  constructor(live: LiveNetwork, options: CheckpointOptions) {
    this.#live = live;
    this.#options = options;
    this.#watch = new Stopwatch(options.onPhase);
    this.#step = options.beforePhase ?? NO_STEP;
    this.#journal = options.journal ?? NO_JOURNAL;
    this.#signal = AbortSignal.any([options.signal, this.#abort.signal]);
  }

  async run(): Promise<CheckpointReport> {
    const guests = [...this.#live.guests.values()];
    await everyone(guests, (guest) => this.#refuseDisks(guest));
    const crew = await Crew.assemble(guests);
    const records = await this.#records(crew);
    const draft = await ImageDraft.create(this.#options.directory, this.#options.name);
    for (const guest of crew.present) {
      this.#undo.push(guest.watch((reason) => this.#lose(guest.name, reason)));
    }
    try {
      const report = await this.#cut(crew, records, draft);
      if (!report.killed) this.#journal.clear(); // else it goes with the network
      return report;
    } catch (error) {
      await draft.abandon();
      crew.stranded.follow((names) => this.#leaveToResume(names, draft));
      // A guest that died makes whatever was waiting for it fail too; the death is the cause to tell.
      throw withStranded(this.#abort.signal.aborted ? this.#abort.signal.reason : error, crew.stranded.names);
    } finally {
      this.#letGo();
      await this.#mark?.unpin().catch(() => undefined); // the network may have ended with its guests
    }
  }

  /** Guests that stand still stay written down until they run again: this process may die before. */
  #leaveToResume(resume: readonly string[], draft: ImageDraft): void {
    if (resume.length === 0) return this.#journal.clear();
    const checkpoint = { name: draft.name, draft: draft.directory, path: draft.target };
    try {
      this.#journal.record({ phase: 'cutting', checkpoint, resume });
    } catch {
      // what was recorded before names them too
    }
  }

  #letGo(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  #lose(guest: string, reason: string): void {
    this.#abort.abort(new StillwireError('GUEST_DIED', `guest ${guest} was lost: ${reason}`, { guest }));
  }

  async #refuseDisks(guest: Guest): Promise<void> {
    if (this.#live.definition.guests[guest.name]?.disks === 'unmanaged') return;
    if ((await guest.runState()) === 'ended') return;
    const [disk] = await guest.writableDisks();
    if (disk === undefined) return;
    const words = `guest ${guest.name} writes to ${disk.file} (${disk.device}), which a checkpoint does not save`;
    throw new StillwireError('DISK_NOT_SAVED', words, { guest: guest.name, disk });
  }

  async #records(crew: Crew): Promise<Record<string, GuestRecord>> {
    const { definition, guests } = this.#live;
    const records = Object.entries(definition.guests).map(
      async ([name, { disks }]): Promise<[string, GuestRecord]> => {
        const guest = guests.get(name);
        const runState = guest === undefined ? 'ended' : crew.stateOf(guest);
        const disksUnmanaged = disks === 'unmanaged';
        if (guest === undefined || runState === 'ended') return [name, { runState: 'ended', disksUnmanaged }];
        const state = this.#stateFile(name);
        return [name, { runState, identity: await guest.identity(), state, disksUnmanaged }];
      },
    );
    return Object.fromEntries(await Promise.all(records));
  }

  #stateFile(name: string): string {
    const guest = this.#live.definition.guests[name];
    return stateFile(name, guest !== undefined && isDmtcp(guest));
  }

  async #prepare(guest: Guest, file: string): Promise<void> {
    this.#undo.push(await guest.prepareSave(file, this.#signal));
  }

  async #cut(crew: Crew, guests: Record<string, GuestRecord>, draft: ImageDraft): Promise<CheckpointReport> {
    const { method = DEFAULT_METHOD, bounds, requireProof = false, kill = false } = this.#options;
    const { unready = DEFAULT_UNREADY, wrapChannel } = this.#options;
    const { network, definition } = this.#live;
    const leased = network.channel(LEASE_MS);
    this.#undo.push(() => leased.forget());
    leased.signal.addEventListener('abort', () => this.#abort.abort(leased.signal.reason));
    const files = new Map(crew.present.map((guest) => [guest, draft.path(this.#stateFile(guest.name))]));
    const checkpoint = { name: draft.name, draft: draft.directory, path: draft.target };
    this.#journal.record({ phase: 'writing', checkpoint }); // a draft is there, and nobody is stopped
    await this.#step('prepare');
    await this.#watch.timed('prepare', () =>
      everyone(crew.present, (guest) => this.#prepare(guest, files.get(guest)!)),
    );
    const resume = crew.present.filter((guest) => crew.stateOf(guest) === 'running').map(({ name }) => name);
    this.#journal.record({ phase: 'cutting', checkpoint, resume });
    let release: Promise<Release | undefined> = Promise.resolve(undefined);
    let endedAt = 0;
    const witnessed = this.#witnessed(leased, new Set(crew.present.map(({ name }) => name)));

    const cut = await runSequence(
      wrapChannel?.(witnessed) ?? witnessed,
      crew,
      async (answer, evidence) => {
        const mark = await Mark.of(network.handle, answer, evidence, method);
        this.#mark = mark;
        const saveAll = (): Promise<void> =>
          everyone(
            [
              ...crew.present.map((guest) => () => guest.save(files.get(guest)!, this.#signal, this.#id)),
              () => this.#step('saving'),
            ],
            (begin) => begin(),
          );
        if (!kill) {
          await saveAll();
          release = network.nextRelease(RELEASE_BOUND_MS);
          return { mark, image: undefined };
        }
        await this.#watch.timed('save', saveAll);
        await this.#finish(crew);
        this.#signal.throwIfAborted();
        const measured = { phases: { ...this.#watch.phases }, skewMs: crew.skew };
        const image = await this.#watch.timed('commit', () =>
          writeImage(draft, { checkpointId: this.#id, definition, mark, guests, measured }, this.#step),
        );
        try {
          await this.#step('committed');
          this.#journal.record({ phase: 'killing', checkpoint, resume });
          await this.#step('kill');
          this.#signal.throwIfAborted();
        } catch (error) {
          await removeCheckpoint(image.path); // nobody has been ended yet: all of it can still be undone
          this.#journal.record({ phase: 'cutting', checkpoint, resume });
          throw error;
        }
        this.#letGo(); // from here on their end is ours, and no loss; the hold ends with the network
        await crew.kill();
        endedAt = monotonicMs();
        return { mark, image };
      },
      {
        method,
        requireProof,
        unready,
        stayHeld: kill,
        signal: this.#signal,
        onPhase: (phase, ms) => {
          if (!kill || phase !== 'save') this.#watch.note(phase, ms); // with kill it has the commit in it
          if (phase === 'resume') this.#journal.record({ phase: 'writing', checkpoint });
        },
        beforePhase: this.#step,
        ...(bounds === undefined ? {} : { bounds }),
      },
    );
    const { mark } = cut.saved;
    if (cut.saved.image !== undefined) {
      return this.#report(mark, cut.saved.image, crew, { pauseMs: endedAt - cut.heldAt, releaseMs: null });
    }
    const released = await release;
    const releasedAt = cut.releasedAt ?? cut.heldAt;
    const pauseMs = (released?.startedAt ?? releasedAt) - cut.heldAt;
    const releaseMs = released === undefined ? null : released.drainedAt - releasedAt;
    await this.#finish(crew);
    const measured = { phases: { ...this.#watch.phases }, pauseMs, skewMs: crew.skew };
    const image = await this.#watch.timed('commit', () =>
      writeImage(draft, { checkpointId: this.#id, definition, mark, guests, measured }, this.#step),
    );
    return this.#report(mark, image, crew, { pauseMs, releaseMs });
  }

  /** What is still being written behind guests that run. */
  async #finish(crew: Crew): Promise<void> {
    const guests = crew.present.filter((guest) => guest.finishSave !== undefined);
    if (guests.length === 0) return;
    await this.#watch.timed('finish', () =>
      everyone(guests, (guest) => guest.finishSave?.(this.#signal) ?? NOTHING),
    );
  }

  /** The channel as far as anybody is behind a port: that of a guest that has ended has nothing to prove, of any kind. */
  #witnessed(channel: LeasedChannel, present: ReadonlySet<string>): Channel<MarkAnswer> {
    return {
      hold: () => channel.hold(),
      sentinels: (epoch) => channel.sentinels(epoch),
      cookies: (epoch, ports) => channel.cookies(epoch, ports),
      recall: (epoch, ports) => channel.recall(epoch, ports),
      sweep: (epoch) => channel.sweep(epoch),
      observe: async (epoch) => {
        const seen = await channel.observe(epoch);
        return seen.filter(({ port }) => {
          const [guest, nic] = port.split('/');
          return nic === undefined || present.has(guest!);
        });
      },
      mark: (epoch) => channel.mark(epoch),
      release: (epoch) => channel.release(epoch),
    };
  }

  #report(
    mark: Mark,
    image: CommittedImage,
    crew: Crew,
    times: Pick<CheckpointReport, 'pauseMs' | 'releaseMs'>,
  ): CheckpointReport {
    const { stop, resume = null } = crew.skew;
    const { name, kill: killed = false } = this.#options;
    const { phases } = this.#watch;
    return { ...imageReport(name, mark, image), ...times, phases, skewMs: { stop, resume }, killed };
  }
}
