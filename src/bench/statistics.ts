/** Figures of rounds. */

/** @throws RangeError for none */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which this part of them lies, interpolated. @throws RangeError for none */
export function quantile(values: readonly number[], part: number): number {
  if (values.length === 0) throw new RangeError('no values');
  const sorted = [...values].sort((a, b) => a - b);
  const at = part * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  const high = sorted[Math.ceil(at)]!;
  return low + (high - low) * (at - Math.floor(at));
}

/** Round by round: what was measured in the same round is compared. */
export const ratios = (ours: readonly number[], theirs: readonly number[]): number[] =>
  ours.slice(0, theirs.length).map((value, i) => value / theirs[i]!);

/** Least and greatest. */
export const spreadOf = (values: readonly number[]): [number, number] => [
  Math.min(...values),
  Math.max(...values),
];
