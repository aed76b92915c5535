/**
 * What a daemon occupies over its life, sampled after each cycle of the soak, and whether it grows.
 *
 * A fresh daemon grows for a while whatever it does: code is compiled, the heap finds its size. So the first WARM_UP
 * samples are left out, and a life too short after them is reported, not judged. Garbage lies about between two
 * collections: the heap is fitted through the least of each ten samples. Descriptors and threads do not warm up for
 * longer than one checkpoint and may not grow at all.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { slopeOf } from './figures.js';

export const WARM_UP = 20;
/** Samples after the warm-up that a judgement needs. */
const LEAST_JUDGED = 40;
const BLOCK = 10;
/** MiB for each hundred cycles, by the linear fit. A checkpoint that leaked its image's frames would leave more. */
export const RSS_BOUND = 3;
export const HEAP_BOUND = 1;
/** More than at the start: a request that is just being answered. */
const DESCRIPTORS_BOUND = 2;

export interface Sample {
  readonly rssMiB: number;
  readonly heapMiB: number;
  readonly descriptors: number;
  readonly threads: number;
}

/** @param heapUsedBytes as the daemon tells it; nobody else knows */
export function sampleDaemon(pid: number, heapUsedBytes: number): Sample {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return {
    rssMiB: field('VmRSS') / 1024,
    heapMiB: heapUsedBytes / 2 ** 20,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: field('Threads'),
  };
}

export interface Growth {
  readonly first: number;
  readonly last: number;
  readonly most: number;
  /** By a linear fit; null when there are too few samples. */
  readonly per100Cycles: number | null;
}

export interface LifeReport {
  readonly cycles: number;
  /** Resident set, MiB; `first` is after the warm-up. */
  readonly rssMiB: Growth;
  /** JavaScript heap of the main thread, MiB. */
  readonly heapMiB: Growth;
  /** After the first cycle, and after the last. */
  readonly descriptors: { readonly first: number; readonly last: number };
  readonly threads: { readonly first: number; readonly last: number };
}

const round = (value: number): number => Math.round(value * 100) / 100;

function growthOf(values: readonly number[], step = 1): Growth {
  const warm = values.length > WARM_UP ? values.slice(WARM_UP) : values.slice(-1);
  const judged = warm.length >= LEAST_JUDGED;
  const blocks: number[] = [];
  for (let at = 0; at + step <= warm.length; at += step) blocks.push(Math.min(...warm.slice(at, at + step)));
  return {
    first: round(warm[0] ?? 0),
    last: round(warm.at(-1) ?? 0),
    most: round(Math.max(0, ...values)),
    per100Cycles: judged ? round((slopeOf(blocks) * 100) / step) : null,
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
    rssMiB: growthOf(samples.map(({ rssMiB }) => rssMiB)),
    heapMiB: growthOf(
      samples.map(({ heapMiB }) => heapMiB),
      BLOCK,
    ),
    descriptors: ends(({ descriptors }) => descriptors),
    threads: ends(({ threads }) => threads),
  };
}

/** What has grown beyond its bound, in words. */
export function growthFaults({ rssMiB, heapMiB, descriptors, threads }: LifeReport, life: number): string[] {
  const faults: string[] = [];
  const over = (what: string, { per100Cycles }: Growth, bound: number): void => {
    if (per100Cycles === null || per100Cycles <= bound) return;
    faults.push(
      `daemon ${life}: its ${what} grows by ${per100Cycles} MiB in 100 cycles, ${bound} are allowed`,
    );
  };
  over('resident set', rssMiB, RSS_BOUND);
  over('heap', heapMiB, HEAP_BOUND);
  if (descriptors.last > descriptors.first + DESCRIPTORS_BOUND) {
    faults.push(`daemon ${life}: ${descriptors.first} descriptors became ${descriptors.last}`);
  }
  if (threads.last > threads.first)
    faults.push(`daemon ${life}: ${threads.first} threads became ${threads.last}`);
  return faults;
}
