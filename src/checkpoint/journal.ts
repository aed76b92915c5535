/**
 * What a checkpoint or restart writes down before it does what a later process could not tell by looking: which guests
 * it has stopped, and what it had begun to write. A daemon that is killed leaves its journal to the next.
 *
 *   checkpoint   cutting  ─ stop … save ─▶  writing  ─ commit ─▶  (cleared)
 *     with kill  cutting  ─ stop … save, commit ──────▶  killing  ─ guests ended, the network too ─▶ (gone with it)
 *   restart      loading  ─ guests load ─▶  resuming  ─ resume, release ─▶  (cleared)
 *
 * A checkpoint that failed and could not resume everyone stays `cutting`, with the names of those, until all run.
 *
 * What recovery does of each:
 *
 *   cutting    resumes those of `resume` that are paused, delivers what was held, removes the draft
 *   writing    all run already; removes the draft
 *   killing    the image is whole and the guests were to end: ends them
 *   loading    nothing of it can live: a guest that has half a state is none
 *   resuming   resumes those of `resume` that are paused, delivers what was held
 *
 * An entry is written before the first of the deeds it speaks of, so it may name guests that were never stopped, and a
 * draft that is whole by now: recovery looks before it acts, and may itself be killed and done again.
 */

/** Where a checkpoint is being written. */
export interface CheckpointPlace {
  readonly name: string;
  /** Absolute path of the directory that is not a checkpoint yet. */
  readonly draft: string;
  /** Absolute path of the checkpoint it becomes. */
  readonly path: string;
}

/** Names of guests to resume: those that ran when they were stopped. */
type Resume = readonly string[];

export type JournalEntry =
  | { readonly phase: 'cutting'; readonly checkpoint: CheckpointPlace; readonly resume: Resume }
  | { readonly phase: 'writing'; readonly checkpoint: CheckpointPlace }
  | { readonly phase: 'killing'; readonly checkpoint: CheckpointPlace; readonly resume: Resume }
  | { readonly phase: 'loading'; readonly image: string }
  | { readonly phase: 'resuming'; readonly image: string; readonly resume: Resume };

/** Both are done when they return: they are called between the steps they tell of. */
export interface Journal {
  /** Puts `entry` in the place of the last. @throws StillwireError SYSCALL when it cannot be written */
  record(entry: JournalEntry): void;
  /** What was recorded is over. */
  clear(): void;
}

/** For a caller that has nobody to recover for it. */
export const NO_JOURNAL: Journal = { record: () => undefined, clear: () => undefined };

/** Called before a step of the given name; what it throws is a failure of that step. */
export type Step = (step: string) => Promise<void>;
export const NO_STEP: Step = () => Promise.resolve();
