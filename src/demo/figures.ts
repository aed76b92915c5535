/** Small statistics of the soak. */

export interface Spread {
  readonly least: number;
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly most: number;
}

const round = (value: number): number => Math.round(value * 10) / 10;

/** Nearest-rank percentiles, to one decimal; null of nothing. */
export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!);
  return { least: at(0), median: at(0.5), p90: at(0.9), p99: at(0.99), most: at(1) };
}

/** Slope of the straight line that fits the values best (least squares), per step; 0 of fewer than two. */
export function slopeOf(values: readonly number[]): number {
  const n = values.length;
  if (n < 2) return 0;
  const meanX = (n - 1) / 2;
  const meanY = values.reduce((total, y) => total + y, 0) / n;
  let above = 0;
  let below = 0;
  values.forEach((y, x) => {
    above += (x - meanX) * (y - meanY);
    below += (x - meanX) ** 2;
  });
  return above / below;
}
