/**
 * What a daemon occupies over its life, sampled after each cycle of the soak, and whether it grows.
 *
 * A fresh daemon grows for a while whatever it does: code is compiled, operations are remembered up to a number. So the
 * first WARM_UP samples are left out, and a life too short after them is reported, not judged. Garbage is collected
 * before each sample (collect.ts), so heap and buffers are what is alive, to the byte. The resident set has the switch
 * thread and the C library's allocations too, but says less: heaps take and return pages as they like, which in 250
 * cycles has tilted the line by up to 6 MiB in 100. All are fitted through the least of each BLOCK samples.
 * Descriptors and threads do not warm up for longer than one checkpoint and may not grow at all.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Health } from '../daemon/index.js';
import { slopeOf } from './figures.js';

export const WARM_UP = 20;
/** Samples after the warm-up that a judgement needs. */
const LEAST_JUDGED = 60;
const LEAST_JUDGED_RSS = 200;
const BLOCK = 15;
/**
 * MiB for each hundred cycles, by the linear fit. Forgetting to forget one checkpoint's report costs 3 in the heap.
 */
export const HEAP_BOUND = 1;
export const BUFFERS_BOUND = 1;
export const RSS_BOUND = 8;
/** More than at the start: a request that is just being answered. */
const DESCRIPTORS_BOUND = 2;
const MIB = 2 ** 20;

export interface Sample {
  readonly rssMiB: number;
  /** JavaScript heap of the main thread: used. */
  readonly heapMiB: number;
  /** Of the main thread, outside that heap. */
  readonly buffersMiB: number;
  readonly descriptors: number;
  readonly threads: number;
}

/** @param memory as the daemon tells it */
export function sampleDaemon(pid: number, memory: Required<Health>['memory']): Sample {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return {
    rssMiB: memory.rssBytes / MIB,
    heapMiB: memory.heapUsedBytes / MIB,
    buffersMiB: memory.externalBytes / MIB,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]),
  };
}

export interface Growth {
  readonly first: number;
  readonly last: number;
  readonly most: number;
  /** By a linear fit through the least of each few samples; null when there are too few. */
  readonly per100Cycles: number | null;
}

export interface LifeReport {
  readonly cycles: number;
  /** MiB; `first` is after the warm-up. */
  readonly rssMiB: Growth;
  readonly heapMiB: Growth;
  readonly buffersMiB: Growth;
  /** After the first cycle, and after the last. */
  readonly descriptors: { readonly first: number; readonly last: number };
  readonly threads: { readonly first: number; readonly last: number };
}

const round = (value: number): number => Math.round(value * 100) / 100;

function growthOf(values: readonly number[], leastJudged = LEAST_JUDGED): Growth {
  const warm = values.length > WARM_UP ? values.slice(WARM_UP) : values.slice(-1);
  const judged = warm.length >= leastJudged;
  const blocks: number[] = [];
  for (let at = 0; at + BLOCK <= warm.length; at += BLOCK) {
    blocks.push(Math.min(...warm.slice(at, at + BLOCK)));
  }
  return {
    first: round(warm[0] ?? 0),
    last: round(warm.at(-1) ?? 0),
    most: round(Math.max(0, ...values)),
    per100Cycles: judged ? round((slopeOf(blocks) * 100) / BLOCK) : null,
  };
}

/** @param samples one a cycle, of one daemon */
export function lifeReport(samples: readonly Sample[]): LifeReport {
  const ends = (of: (sample: Sample) => number): { first: number; last: number } => {
    const values = samples.map(of);
    return { first: values[1] ?? values[0] ?? 0, last: values.at(-1) ?? 0 };
  };
  return {
    cycles: samples.length,
    rssMiB: growthOf(
      samples.map(({ rssMiB }) => rssMiB),
      LEAST_JUDGED_RSS,
    ),
    heapMiB: growthOf(samples.map(({ heapMiB }) => heapMiB)),
    buffersMiB: growthOf(samples.map(({ buffersMiB }) => buffersMiB)),
    descriptors: ends(({ descriptors }) => descriptors),
    threads: ends(({ threads }) => threads),
  };
}

/** What has grown beyond its bound, in words. */
export function growthFaults(report: LifeReport, life: number): string[] {
  const { heapMiB, buffersMiB, rssMiB, descriptors, threads } = report;
  const faults: string[] = [];
  const over = (what: string, { per100Cycles }: Growth, bound: number): void => {
    if (per100Cycles === null || per100Cycles <= bound) return;
    faults.push(
      `daemon ${life}: its ${what} grows by ${per100Cycles} MiB in 100 cycles, ${bound} are allowed`,
    );
  };
  over('heap', heapMiB, HEAP_BOUND);
  over('memory in buffers', buffersMiB, BUFFERS_BOUND);
  over('resident set', rssMiB, RSS_BOUND);
  if (descriptors.last > descriptors.first + DESCRIPTORS_BOUND) {
    faults.push(`daemon ${life}: ${descriptors.first} descriptors became ${descriptors.last}`);
  }
  if (threads.last > threads.first)
    faults.push(`daemon ${life}: ${threads.first} threads became ${threads.last}`);
  return faults;
}
