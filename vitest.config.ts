import { defineConfig } from 'vitest/config';

/**
 * Three levels, three projects. `pure` touches nothing outside the process; `kernel` makes real TAPs in
 * namespaces of its own (root); `guest` boots real QEMU machines. Kernel and guest suites run one file at a time:
 * they share two cores and measure nothing, but a starved guest makes a slow test.
 */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'pure', include: ['test/pure/**/*.test.ts'] } },
      {
        test: {
          name: 'kernel',
          include: ['test/kernel/**/*.test.ts'],
          fileParallelism: false,
          pool: 'forks',
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'guest',
          include: ['test/guest/**/*.test.ts'],
          fileParallelism: false,
          pool: 'forks',
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
