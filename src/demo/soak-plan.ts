/**
 * What a soak does, cycle by cycle: decided beforehand by the seed, so that a run can be had again.
 *
 * Long stretches in place alternate with bursts of kills, because a kill ends the daemon: what it leaks shows only in
 * one that lives long. Most checkpoints in place belong to the stretches, the rest are mixed in among the kills.
 */
import type { QuiesceMethod } from '../quiesce/index.js';
import type { SeededRandom } from './random.js';

/**
 *   inPlace   one checkpoint, the guests go on
 *   twice     two, the second without a pause after the first
 *   kill      one with kill, and the restart from it
 *   aborted   one whose client gives up in the middle: nothing may have changed. It counts as none of the above, but
 *             when it was past the point and was completed
 */
export type Step = Readonly<{ method: QuiesceMethod; pauseMs: number }> &
  (
    | { readonly kind: 'inPlace' | 'kill' }
    | { readonly kind: 'twice'; readonly second: QuiesceMethod }
    | { readonly kind: 'aborted'; readonly kill: boolean; readonly afterMs: number }
  );

export interface Wanted {
  /** Checkpoints in place, those done twice counted as two. */
  readonly inPlace: number;
  readonly kill: number;
  /** Each not empty, no one twice. */
  readonly methods: readonly QuiesceMethod[];
}

/** A stretch in place is at most about this long. */
const STRETCH = 300;
const SHARE = { inStretches: 0.85, twice: 0.08, aborted: 0.06, quiet: 0.05, atOnce: 0.1 };
const PAUSE_MS = { least: 50, most: 800 };
/** From the request on: between nothing done yet and nearly all. */
const ABORT_AFTER_MS = 160;

/** `whole` in `parts` parts that differ by one at most. */
const split = (whole: number, parts: number): number[] =>
  Array.from(
    { length: parts },
    (_, i) => Math.floor((whole * (i + 1)) / parts) - Math.floor((whole * i) / parts),
  );

export function planSoak({ inPlace, kill, methods }: Wanted, random: SeededRandom): Step[] {
  const chance = (share: number): boolean => random.between(0, 1) < share;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random.between(0, from.length))]!;
  const others = methods.filter((method) => method !== 'quiet');
  const method = (): QuiesceMethod =>
    others.length === 0 || (methods.includes('quiet') && chance(SHARE.quiet)) ? 'quiet' : pick(others);
  const base = (): { method: QuiesceMethod; pauseMs: number } => ({
    method: method(),
    pauseMs: chance(SHARE.atOnce) ? 0 : random.between(PAUSE_MS.least, PAUSE_MS.most),
  });

  const steps: Step[] = [];
  const maybeAborted = (): void => {
    if (!chance(SHARE.aborted)) return;
    const afterMs = random.between(0, ABORT_AFTER_MS);
    steps.push({ ...base(), kind: 'aborted', kill: kill > 0 && chance(0.25), afterMs });
  };
  const addInPlace = (count: number): void => {
    for (let left = count; left > 0;) {
      maybeAborted();
      const twice = left > 1 && chance(SHARE.twice);
      steps.push(twice ? { ...base(), kind: 'twice', second: method() } : { ...base(), kind: 'inPlace' });
      left -= twice ? 2 : 1;
    }
  };

  const inStretches = kill === 0 ? inPlace : Math.round(inPlace * SHARE.inStretches);
  const stretches = split(inStretches, Math.max(1, Math.ceil(inStretches / STRETCH)));
  const bursts = split(kill, stretches.length);
  const among = split(inPlace - inStretches, stretches.length);
  stretches.forEach((length, i) => {
    split(among[i]!, bursts[i]! + 1).forEach((count, place) => {
      if (place > 0) {
        maybeAborted();
        steps.push({ ...base(), kind: 'kill' });
      }
      addInPlace(count);
    });
    addInPlace(length);
  });
  return steps;
}
