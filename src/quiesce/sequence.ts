/**
 * The sequence of a checkpoint, from hold to release. This is the protocol itself; it knows neither guests nor files,
 * only that something can be stopped, saved and resumed.
 *
 * Goal: when `save` is called, everything is stopped and the marked frames are exactly those sent and not received.
 *
 * Order, and why:
 *   hold     nothing is delivered from here on, so what is in flight can only grow at our end
 *   drain    what had been delivered reaches the guests while they still run
 *   recall   what an unready guest does not take is taken back, so that it is ours when the guest stops; or all is
 *            given up here, before anything was stopped
 *   stop     nobody sends any more
 *   sweep    what they had sent is taken in
 *   mark     the queues are the in-flight set; it is frozen
 *   save     guests, to wherever; the frames stay pinned in memory
 *   resume   all of them, before a single frame flows: a frame to a guest that is still stopped would be purged
 *   release  saved order first
 *
 * Whatever fails, the same end is run: resume everything that was stopped, then release. It never leaves the network
 * held. If the hold itself has ended (lease, overflow), the release is a no-op and the step that noticed throws.
 */
import { StillwireError } from '../errors/index.js';
import type { PortId } from '../frame/types.js';
import type { Channel, Observation } from './channel.js';
import { DEFAULT_BOUNDS, drain, methodOf, unreadyOf, type DrainBounds } from './drain.js';
import { downDoubt, judge, type PortEvidence, type QuiesceMethod } from './evidence.js';
import { sweep } from './sweep.js';
import { realTime, type Time } from './time.js';

export const PHASES = [
  'hold',
  'drain',
  'recall',
  'stop',
  'sweep',
  'mark',
  'save',
  'resume',
  'release',
] as const;
export type Phase = (typeof PHASES)[number];

/**
 * What is done about a port whose guest takes nothing (no driver, interface down, paused, crashed).
 *
 *   fail   give up, with nothing changed
 *   keep   take back what it has not read; the port is not proven
 */
export type UnreadyPolicy = 'fail' | 'keep';
export const DEFAULT_UNREADY: UnreadyPolicy = 'fail';

export interface Participants {
  /**
   * Stops everything that runs; resolves when it all has stopped. On rejection `resume` is still called.
   * @param signal its abort need not be waited for to the end, where stopping takes long
   */
  stop(signal: AbortSignal): Promise<void>;
  /** Resumes exactly what `stop` stopped. Must not throw for one guest before having tried the others. */
  resume(): Promise<void>;
  /** Whether `stop` stops the machine behind this port, or it does not run anyway. Absent: it does. */
  stops?(port: PortId): boolean;
}

export interface SequenceOptions {
  readonly method: QuiesceMethod;
  readonly bounds?: Partial<DrainBounds>;
  /** Give up, with everything undone, when the cut cannot be proven. */
  readonly requireProof?: boolean;
  /** Default {@link DEFAULT_UNREADY}. */
  readonly unready?: UnreadyPolicy;
  /** End after `save`, stopped and held: the participants are gone, and nobody is left to deliver to. */
  readonly stayHeld?: boolean;
  readonly signal: AbortSignal;
  /** Told when each phase ends, with its length in milliseconds. */
  readonly onPhase?: (phase: Phase, ms: number) => void;
  /** Called before each phase; what it throws is a failure of that phase. For the injection of faults. */
  readonly beforePhase?: (phase: Phase) => Promise<void>;
  /** Default: the real one. */
  readonly time?: Time;
}

export interface Cut<Marked, Saved> {
  readonly marked: Marked;
  readonly saved: Saved;
  readonly evidence: readonly PortEvidence[];
  readonly heldAt: number;
  /** Absent when the network stays held. */
  readonly releasedAt?: number;
}

/** The down-path as seen at the drain, the up-path as seen after the stop. */
export function combine(
  method: QuiesceMethod,
  drained: readonly Observation[],
  swept: readonly Observation[],
): PortEvidence[] {
  const before = new Map(drained.map((seen) => [seen.port, seen]));
  return swept.map((seen) => {
    const { port, kind, up } = seen;
    const { down } = before.get(port) ?? seen;
    // What was taken back was so after the drain.
    return {
      port,
      kind,
      method: methodOf(method, before.get(port) ?? seen),
      down: { ...down, recalled: seen.down.recalled },
      up,
    };
  });
}

/**
 * Gives up, or takes back what unready guests have not read.
 * @returns whether anything was to be taken back
 * @throws StillwireError PORT_UNREADY
 */
export async function settleUnready(
  channel: Channel,
  epoch: number,
  drained: readonly Observation[],
  policy: { readonly method: QuiesceMethod; readonly unready: UnreadyPolicy },
  stops: (port: PortId) => boolean = () => true,
): Promise<boolean> {
  if (policy.method === 'quiet') return false; // nothing was asked, so nobody failed to answer
  const unready = unreadyOf(policy.method, drained);
  if (unready.length === 0) return false;
  if (policy.unready === 'keep') {
    await channel.recall(
      epoch,
      unready.map(({ port }) => ({ port, stops: stops(port) })),
    );
    return true;
  }
  const doubts = unready.map((seen) => {
    const reason = downDoubt({ ...seen, method: methodOf(policy.method, seen) }) ?? '';
    return { port: seen.port, reason };
  });
  const words = doubts.map(({ port, reason }) => `${port}: ${reason}`).join('; ');
  throw new StillwireError('PORT_UNREADY', words, { ports: doubts });
}

function demandProof(evidence: readonly PortEvidence[]): void {
  const unproven = evidence.map(judge).filter(({ proven }) => !proven);
  if (unproven.length === 0) return;
  const words = unproven.map(({ port, reason }) => `${port}: ${reason ?? ''}`).join('; ');
  throw new StillwireError('NOT_PROVEN', `the cut is not proven: ${words}`, { ports: unproven });
}

/** Runs the whole sequence once. @throws what a step threw, after resume and release */
export async function runSequence<Marked, Saved>(
  channel: Channel<Marked>,
  participants: Participants,
  save: (marked: Marked, evidence: readonly PortEvidence[]) => Promise<Saved>,
  options: SequenceOptions,
): Promise<Cut<Marked, Saved>> {
  const { method, signal, time = realTime, unready = DEFAULT_UNREADY } = options;
  const within = { time, signal };
  const bounds = { ...DEFAULT_BOUNDS, ...options.bounds };
  const timed = async <T>(phase: Phase, step: () => Promise<T>): Promise<T> => {
    await options.beforePhase?.(phase);
    const began = time.now();
    const result = await step();
    options.onPhase?.(phase, time.now() - began);
    return result;
  };

  signal.throwIfAborted();
  await options.beforePhase?.('hold');
  const asked = time.now();
  const { epoch, at: heldAt } = await channel.hold();
  let stopping = false;
  let recalled = false;
  try {
    options.onPhase?.('hold', time.now() - asked); // from here on a failure, even a listener's, is undone
    const drained = await timed('drain', () => drain(channel, epoch, method, bounds, within));
    if (options.requireProof === true && method === 'quiet') demandProof(combine(method, drained, drained));
    recalled = await timed('recall', () =>
      settleUnready(
        channel,
        epoch,
        drained,
        { method, unready },
        (port) => participants.stops?.(port) ?? true,
      ),
    );
    stopping = true;
    await timed('stop', () => participants.stop(signal));
    const swept = await timed('sweep', () => sweep(channel, epoch, method, bounds, within));
    const evidence = combine(method, drained, swept);
    if (options.requireProof === true) demandProof(evidence);
    const marked = await timed('mark', () => channel.mark(epoch));
    const saved = await timed('save', () => save(marked, evidence));
    // Whoever stays held has ended the participants in `save`: there is no way back from that, and nothing to undo.
    if (options.stayHeld === true) return { marked, saved, evidence, heldAt };
    signal.throwIfAborted();
    await timed('resume', () => {
      stopping = false; // tried once; what fails before that is undone
      return participants.resume();
    });
    const { at: releasedAt } = await timed('release', () => channel.release(epoch));
    return { marked, saved, evidence, heldAt, releasedAt };
  } catch (error) {
    const failedToo = await undo(channel, epoch, stopping ? participants : undefined, recalled);
    if (failedToo === undefined) throw error;
    const { code, message, details } = StillwireError.from(error);
    throw new StillwireError(code, `${message}; then resuming failed: ${failedToo.message}`, details, error);
  }
}

/** Resume first, release whatever happens to that. What resume threw is returned: it must not hide the first failure. */
async function undo(
  channel: Channel,
  epoch: number,
  stopped: Participants | undefined,
  recalled: boolean,
): Promise<StillwireError | undefined> {
  let failure: StillwireError | undefined;
  // What became of the frame a hypervisor had taken can be seen only as long as its guest is stopped.
  if (recalled && stopped !== undefined) await channel.sweep(epoch).catch(() => undefined);
  await stopped?.resume().catch((error: unknown) => (failure = StillwireError.from(error)));
  await channel.release(epoch).catch(() => undefined); // the hold may have ended already; then traffic flows
  return failure;
}
