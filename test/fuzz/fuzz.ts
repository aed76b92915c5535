/**
 * The fuzzers: everything that reads what a guest, a caller, or the author of a file wrote is given what they might
 * write, for so and so many seconds, and must answer as documented.
 *
 *   npm run fuzz -- [--seconds N] [--target NAME] [--seed S]
 *
 * The seconds (60) are those of all targets together. Inputs come in batches, each of a seed of its own, from S on: a
 * batch that fails is told with its seed, and `--target NAME --seed S` finds the same again at once. The smallest input
 * that still fails is written to a file; then the program ends with 1. A case that takes longer than HANG_MS fails too,
 * and so does a target that keeps more than KEPT_BYTES of memory.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as fc from 'fast-check';
import type { MakeTarget, Target } from './target.js';

const BATCH = 100;
const HANG_MS = 30_000;
const SHRINK_MS = 30_000;
const KEPT_BYTES = 128 * 1024 * 1024;
const MIB = 1024 * 1024;
const HERE = fileURLToPath(new URL('.', import.meta.url));
const FOUND = fileURLToPath(new URL('../../.cache/fuzz', import.meta.url));

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, target: { type: 'string' }, seed: { type: 'string' } },
});
const known = readdirSync(join(HERE, 'targets')).map((file) => file.replace(/\.ts$/, ''));
const names = known.filter((name) => values.target === undefined || name === values.target);
const seconds = Number(values.seconds ?? 60);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
if (names.length === 0 || !(seconds > 0) || !Number.isInteger(seed)) {
  console.error(`usage: npm run fuzz -- [--seconds N] [--target ${known.join('|')}] [--seed S]`);
  process.exit(2);
}

/** Memory in use when nothing waits to be collected; Node must have been started with --expose-gc to know. */
function kept(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The check, given up after HANG_MS. One that never comes back to the event loop is ended by whoever started us. */
async function bounded(target: Target<unknown>, input: unknown): Promise<void> {
  const work = target.check(input);
  if (work === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came of it in ${HANG_MS / 1000} s`)), HANG_MS);
  });
  await Promise.race([work, hang]).finally(() => clearTimeout(timer));
}

/** A rejection nobody waits for, or an error thrown in a callback, would end the daemon: here it fails the case. */
let stray: unknown;
process.on('unhandledRejection', (reason) => (stray = reason));
process.on('uncaughtException', (error) => (stray = error));

async function runBatch(target: Target<unknown>, batchSeed: number, until: number) {
  let cases = 0;
  const property = fc.asyncProperty(target.inputs, async (input) => {
    cases++;
    stray = undefined;
    await bounded(target, input);
    if (stray !== undefined) throw new Error('an error that nobody caught', { cause: stray });
  });
  const left = Math.max(1, until - performance.now());
  const common = { seed: batchSeed, numRuns: BATCH, markInterruptAsFailure: false };
  const found = await fc.check(property, { ...common, endOnFailure: true, interruptAfterTimeLimit: left });
  // A batch whose time was over before its first case ended is called failed too, without an error.
  if (!found.failed || (found.interrupted && found.counterexample === null)) return { cases };
  const path = found.counterexamplePath ?? undefined;
  const again = { ...common, interruptAfterTimeLimit: SHRINK_MS, ...(path !== undefined && { path }) };
  const small = await fc.check(property, again);
  return { cases, failure: small.failed ? small : found };
}

function report(name: string, batchSeed: number, failure: fc.RunDetails<[unknown]>): void {
  mkdirSync(FOUND, { recursive: true });
  const file = join(FOUND, `${name}-${batchSeed}.txt`);
  const [input] = failure.counterexample ?? [undefined];
  const error = failure.errorInstance;
  const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? `\ncause: ${error.cause.stack}` : '';
  writeFileSync(file, `${fc.stringify(input)}\n\n${words}${cause}\n`);
  console.error(`\n${name}: FAILED with seed ${batchSeed}\n${words}${cause}`);
  console.error(`the smallest input is in ${file}; again: --target ${name} --seed ${batchSeed}`);
}

let failed = false;
for (const name of names) {
  const { default: make } = (await import(`./targets/${name}.ts`)) as { default: MakeTarget };
  const target = await make();
  const began = performance.now();
  const until = began + (seconds * 1000) / names.length;
  let cases = 0;
  let batchSeed = seed;
  let before = Number.NaN; // after the first batch: what is loaded on first use is not growth
  while (performance.now() < until || cases === 0) {
    const result = await runBatch(target, batchSeed, until);
    cases += result.cases;
    if (result.failure !== undefined) {
      report(name, batchSeed, result.failure);
      failed = true;
      break;
    }
    if (Number.isNaN(before)) before = kept();
    batchSeed = (batchSeed + 1) | 0;
  }
  await target.close?.();
  const growth = kept() - before;
  const spent = ((performance.now() - began) / 1000).toFixed(1);
  console.log(
    `${name.padEnd(14)} ${String(cases).padStart(8)} cases in ${spent.padStart(5)} s, seed ${seed}, ` +
      `memory ${(growth / MIB).toFixed(1)} MiB${failed ? '  FAILED' : ''}`,
  );
  if (growth > KEPT_BYTES) {
    console.error(`${name}: FAILED, it keeps ${(growth / MIB).toFixed(0)} MiB`);
    failed = true;
  }
  if (failed) break;
}
process.exit(failed ? 1 : 0);
