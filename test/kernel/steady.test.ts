/**
 * Steady traffic leaves no garbage in the switch thread. V8 itself says so: the thread never returns to its event loop,
 * where a PerformanceObserver would be called, so each collection is taken from --trace-gc.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { loadBuild } from './build.js';
import { ip, Lab } from './lab.js';

const lab = new Lab('steady');
const PROGRAM = fileURLToPath(new URL('programs/steady-network.mjs', import.meta.url));
/**
 * The young generation is held at a megabyte: one object of 60 bytes per frame would be eleven collections and more. A few
 * are of the turns, of which a starved machine has more: five were seen.
 */
const FLAGS = ['--trace-gc', '--expose-gc', '--max-semi-space-size=1'];
const FEW = 6;

afterAll(() => {
  try {
    ip('netns', 'delete', `stillwire-${lab.network()}`); // of a program that failed
  } catch {
    // It has removed it itself.
  }
  lab.close();
});

/** Collections of every other thread than the main one, between its two forced ones. */
function collectionsOfOthers(trace: string): string[] {
  const lines = trace.split('\n').filter((line) => /^\[\d+:0x/.test(line));
  const isolate = (line: string): string => line.slice(0, line.indexOf(']'));
  const marks = lines.flatMap((line, i) => (line.includes('testing') ? [i] : []));
  expect(marks).toHaveLength(2);
  const main = isolate(lines[marks[0]!]!);
  const others = lines.filter((line) => isolate(line) !== main);
  expect(others.length).toBeGreaterThan(0); // the switch thread's beginning: we see what it collects
  return lines.slice(marks[0], marks[1]).filter((line) => isolate(line) !== main);
}

test.for([
  ['short frames', 200_000, 60, 0],
  ['super-frames', 100_000, 30_014, 1448],
] as const)('%s, %i of them: next to no garbage collection', async ([, count, bytes, gsoSize]) => {
  const { root } = await loadBuild();
  const words = [root, lab.network(), count, bytes, gsoSize].map(String);
  const { stdout } = await promisify(execFile)(process.execPath, [...FLAGS, PROGRAM, ...words]);
  const { read, dropped } = JSON.parse(stdout.trim().split('\n').at(-1)!) as {
    read: number;
    dropped: Record<string, number>[];
  };
  expect(read).toBe(count);
  expect(dropped.flatMap((reasons) => Object.values(reasons)).every((lost) => lost === 0)).toBe(true);
  const found = collectionsOfOthers(stdout);
  expect(found.length, found.join('\n')).toBeLessThanOrEqual(FEW);
});
