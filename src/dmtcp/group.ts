/**
 * All guests of a network that run under DMTCP. They are checkpointed together, since DMTCP's coordinator knows but one
 * checkpoint of all: the first guest that is stopped asks it, and each goes on when all have reported.
 *
 * A checkpoint that somebody else began (dmtcp_command, the coordinator's timer) is met with one of our own, so that
 * what DMTCP writes is worth something: whoever listens takes a checkpoint of the network, whose stop finds the guests
 * waiting. Where that comes to nothing they go on without us, and their images are of no checkpoint.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import type { DmtcpCall } from './call.js';
import { DmtcpCoordinator } from './coordinator.js';
import { DmtcpDesk, type FirstReport } from './desk.js';
import { Latecomers } from './late.js';
import type { DmtcpPassage } from './passage.js';
import { Progress } from './progress.js';
import { DmtcpRound } from './round.js';

/** How long DMTCP may take to reach every guest. */
const REPORT_BOUND_MS = 30_000;
/** How long a checkpoint of DMTCP's that went on without us may last before ours. */
const EARLIER_BOUND_MS = 120_000;
/** A coordinator refuses while a checkpoint is under way: how often it is asked again, and for how long. */
const ASK_AGAIN_MS = 100;
const ASK_BOUND_MS = 20_000;
/** How long one that may be late waits for another guest to show that this is another checkpoint. */
const LATE_DOUBT_MS = 200;
const TOO_LATE = 'the checkpoint was given up: this guest reported too late';

const NEVER = new AbortController().signal;

export interface DmtcpMember {
  readonly name: string;
  /** Undefined once it has ended. */
  readonly pid: number | undefined;
  readonly ended: Promise<string>;
  /** How many are defined, and are given back at a restart. */
  readonly nics: number;
}

export interface DmtcpGroupOptions {
  /** Path of the socket that plugins report to. */
  readonly socket: string;
  readonly coordinator: Pick<DmtcpCoordinator, 'checkpoint' | 'end' | 'peers' | 'arguments'>;
  readonly reportBoundMs?: number;
  /** How long images may stand still that are being written. */
  readonly stallBoundMs?: number;
}

/** Takes a checkpoint of the network, since DMTCP has begun one. */
export type OnForeign = () => Promise<void>;
/** Told which guests go through a checkpoint of DMTCP's without us, and why. */
export type OnWaved = (guests: readonly string[], reason: string) => void;

export class DmtcpGroup {
  readonly desk: DmtcpDesk;
  readonly coordinator: DmtcpGroupOptions['coordinator'];
  readonly #reportBoundMs: number;
  readonly #stallBoundMs: number | undefined;
  readonly #members = new Map<string, DmtcpMember>();
  readonly #late = new Latecomers();
  #round: DmtcpRound | undefined;
  #preparing = 0;
  /** How many processes the coordinator has when all have come that we have launched. */
  #peers: Promise<number> | undefined;
  #onForeign: OnForeign | undefined;
  /** For the log. */
  onWaved: OnWaved = () => undefined;

  private constructor(desk: DmtcpDesk, options: DmtcpGroupOptions) {
    this.desk = desk;
    this.coordinator = options.coordinator;
    this.#reportBoundMs = options.reportBoundMs ?? REPORT_BOUND_MS;
    this.#stallBoundMs = options.stallBoundMs;
  }

  /** @throws StillwireError as DmtcpDesk.open */
  static async open(options: DmtcpGroupOptions): Promise<DmtcpGroup> {
    return new DmtcpGroup(await DmtcpDesk.open(options.socket), options);
  }

  /** Who is asked for a checkpoint when DMTCP begins one by itself; nobody: it goes on without us. */
  set onForeign(listener: OnForeign) {
    this.#onForeign = listener;
  }

  /** One more guest is launched. @returns how many processes the coordinator has at least when it has joined */
  launch(): Promise<number> {
    this.#peers = (this.#peers ?? this.coordinator.peers()).then((before) => before + 1);
    return this.#peers;
  }

  /** A guest runs from now on: its plugin is expected to report. */
  admit(member: DmtcpMember): void {
    const { name } = member;
    this.#members.set(name, member);
    this.desk.attend(name, (call, report) => this.#arrive(name, call, report));
    void member.ended.then(() => {
      if (this.#members.get(name) !== member) return;
      this.#members.delete(name);
      this.desk.leave(name);
      this.#round?.recount();
    });
  }

  #arrive(guest: string, call: DmtcpCall, report: FirstReport): string | undefined {
    if (report.word === 'RESTART') return `guest ${guest} runs already`;
    if (call.pid !== this.#members.get(guest)?.pid) return `guest ${guest} is another process`;
    if (this.#late.take(guest)) {
      void this.#doubt(guest, call, report);
      return undefined;
    }
    this.#late.clear(); // it has reported before, so this is another checkpoint
    return this.#enter(guest, call, report);
  }

  /**
   * One that is late, unless DMTCP turns out to have begun another checkpoint. Where we are just asking for one, the
   * answer tells: the coordinator takes no request while the old one waits for this guest.
   */
  async #doubt(guest: string, call: DmtcpCall, report: FirstReport): Promise<void> {
    const { beginnings } = this.#late;
    await this.#round?.request;
    if (this.#late.beginnings === beginnings) await delay(LATE_DOUBT_MS);
    if (this.#late.beginnings === beginnings) {
      call.answer('SKIP', { reason: TOO_LATE });
      this.onWaved([guest], TOO_LATE);
    } else {
      const refused = this.#enter(guest, call, report);
      if (refused === undefined) return;
      call.answer('REFUSE', { reason: refused });
    }
    call.hangUp();
  }

  /** A guest takes part in the checkpoint that is under way, or is the first of one. */
  #enter(guest: string, call: DmtcpCall, { nics }: FirstReport): string | undefined {
    const isForeign = this.#round === undefined;
    const round = this.#round ?? this.#begin(false);
    const refused = round.join(guest, call);
    const defined = this.#members.get(guest)?.nics;
    if (round.givenUp) this.onWaved([guest], round.reason);
    else if (defined !== undefined && nics !== defined) round.object(misfit(guest, nics, defined));
    if (isForeign && this.#preparing === 0) void this.#meet(round);
    return refused;
  }

  #begin(asked: boolean): DmtcpRound {
    const expected = (): string[] => [...this.#members.keys()];
    const round = new DmtcpRound(asked, expected, new Progress(this.#stallBoundMs));
    this.#round = round;
    void round.over.then(() => {
      if (this.#round === round) this.#round = undefined;
    });
    return round;
  }

  /** Somebody else has begun a checkpoint. */
  async #meet(round: DmtcpRound): Promise<void> {
    let reason = 'nobody took a checkpoint of the network';
    try {
      await this.#onForeign?.();
    } catch (error) {
      reason = StillwireError.from(error).message;
    }
    this.#abandon(round, reason);
  }

  #abandon(round: DmtcpRound, reason: string): void {
    if (round.givenUp) return;
    const waved = round.underWay;
    if (round.hasBegun || round.request !== undefined) this.#late.expect(round.missing, round);
    round.giveUp(reason);
    if (waved.length > 0) this.onWaved(waved, reason);
  }

  /**
   * A checkpoint of ours is about to come: one of DMTCP's that begins now is its. Resolves when an earlier one that goes
   * on without us is through: outside the hold there is time to wait for it.
   * @returns it is over, or came to nothing
   * @throws StillwireError GUEST_FAILED when it does not come to its end; the signal's reason
   */
  async prepare(signal: AbortSignal = NEVER): Promise<() => void> {
    const done = this.#expectOurs();
    try {
      await this.#earlierOver(signal);
      return done;
    } catch (error) {
      done();
      throw error;
    }
  }

  #expectOurs(): () => void {
    this.#preparing++;
    let done = false;
    return () => {
      if (done) return;
      done = true;
      if (--this.#preparing > 0) return;
      const round = this.#round;
      if (round !== undefined) this.#abandon(round, 'the checkpoint of the network was over before');
    };
  }

  /**
   * Lets a guest be suspended together with all others; resolves when DMTCP has done it.
   * @throws StillwireError GUEST_FAILED naming the guests that DMTCP has not reached; the signal's reason, and then
   *   DMTCP's checkpoint goes on without us
   */
  async stop(guest: string, signal: AbortSignal = NEVER): Promise<DmtcpPassage> {
    const round = await this.#current(signal);
    const giveUp = (): void => this.#abandon(round, 'the checkpoint was aborted');
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      signal.throwIfAborted();
      await round.everyoneHere(this.#reportBoundMs);
      const passage = round.passage(guest);
      if (passage === undefined)
        throw new StillwireError('GUEST_DIED', `guest ${guest} has ended`, { guest });
      await passage.suspend(this.#reportBoundMs);
      return passage;
    } catch (error) {
      this.#abandon(round, StillwireError.from(error).message);
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  async #current(signal: AbortSignal): Promise<DmtcpRound> {
    await this.#earlierOver(signal);
    if (this.#round !== undefined) return this.#round;
    const begun = this.#begin(true);
    void this.#ask(begun);
    return begun;
  }

  /** Waits for the end of one that goes on without us. */
  async #earlierOver(signal: AbortSignal): Promise<void> {
    for (let round = this.#round; round?.spoilt === true; round = this.#round) {
      const bound = delay(EARLIER_BOUND_MS, 'late', { ref: false, signal }).catch(() => 'aborted');
      const outcome = await Promise.race([round.over, bound]);
      signal.throwIfAborted();
      if (outcome !== 'late') continue;
      const { underWay } = round;
      const words = `an earlier checkpoint of DMTCP has not come to its end within ${EARLIER_BOUND_MS / 1000} s: ${underWay.join(', ')} still in it`;
      throw new StillwireError('GUEST_FAILED', words, { guests: underWay });
    }
  }

  async #ask(round: DmtcpRound): Promise<void> {
    const end = performance.now() + ASK_BOUND_MS;
    while (this.#round === round && !round.givenUp && !round.hasBegun) {
      const refused = await (round.request = this.#request(round));
      if (refused === undefined) return;
      if (performance.now() > end) {
        round.fail(refused);
        return;
      }
      await delay(ASK_AGAIN_MS);
    }
  }

  /** @returns what the coordinator has against it */
  async #request(round: DmtcpRound): Promise<StillwireError | undefined> {
    try {
      await this.coordinator.checkpoint();
      // Where we have given it up meanwhile, it is this one that guests will be late for.
      if (!round.givenUp) this.#late.clear();
      return undefined;
    } catch (error) {
      round.request = undefined;
      if (!round.hasBegun) this.#late.withdraw(round);
      return StillwireError.from(error);
    }
  }

  /** Lets every guest go on and ends the coordinator, if it is ours. The guests have been ended before, as a rule. */
  async close(): Promise<void> {
    this.#onForeign = undefined;
    this.#round?.giveUp('the network is closed');
    await this.desk.close();
    await this.coordinator.end();
  }
}

function misfit(guest: string, nics: number, defined: number): StillwireError {
  const words = `guest ${guest}: its process has ${nics} NICs, and ${defined} are defined: its image could not be restarted; end it and start it anew, with the NICs of the network file and no others`;
  return new StillwireError('GUEST_FAILED', words, { guest, nics, defined });
}
