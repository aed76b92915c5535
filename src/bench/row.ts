/** A row of the table: a ratio of two figures, or a figure, and what is asked of it. */
import { median, ratios, spreadOf } from './statistics.js';

/** What `--json` tells of a row. */
export interface Row {
  /** What was measured, and on which ports. */
  readonly name: string;
  /** What it is compared with. */
  readonly peer: string;
  /** Median over the rounds of Stillwire's figure by the peer's; where the peer is no other, see the name for the unit. */
  readonly ratio: number;
  /** Least and greatest of the rounds. */
  readonly spread: readonly [number, number];
  /** What the ratio must reach; where it is not below the goal, less is better. */
  readonly floor: number;
  readonly goal: number;
  /** The floor is reached. */
  readonly met: boolean;
}

/** Stillwire's figures or those of what it is compared with. */
export interface Side {
  /** What carried the frames. */
  readonly carrier: string;
  /** Offload flags, MTU. */
  readonly conditions: string;
  /** A figure per round. */
  readonly figures: readonly number[];
}

/** A row with all that is known about it, for the documents. */
export interface MeasuredRow extends Row {
  readonly unit: Unit;
  readonly less: boolean;
  readonly pinning: string;
  readonly ours: Side;
  /** Absent: the figure itself is judged, not a ratio. */
  readonly theirs?: Side;
}

export type Unit = 'bit/s' | 'frames/s' | 'µs' | 'ns/frame' | 'ms';

export interface Asked {
  readonly name: string;
  readonly peer: string;
  readonly unit: Unit;
  readonly floor: number;
  readonly goal: number;
  /** Less is better. */
  readonly less: boolean;
}

/** Judges the figures of all rounds; without `theirs`, our own are judged in their unit. */
export function judgeRow(asked: Asked, pinning: string, ours: Side, theirs?: Side): MeasuredRow {
  const values = theirs === undefined ? ours.figures : ratios(ours.figures, theirs.figures);
  const ratio = median(values);
  const met = asked.less ? ratio <= asked.floor : ratio >= asked.floor;
  const judged = { ...asked, ratio, spread: spreadOf(values), met, pinning, ours };
  return theirs === undefined ? judged : { ...judged, theirs };
}
