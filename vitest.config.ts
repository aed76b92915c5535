import { defineConfig } from 'vitest/config';

const KERNEL = {
  fileParallelism: false,
  pool: 'forks',
  testTimeout: 30_000,
  hookTimeout: 30_000,
} as const;

const GUEST = {
  fileParallelism: false,
  pool: 'forks',
  testTimeout: 180_000,
  hookTimeout: 180_000,
} as const;

/** Suites of `kernel` in which a switch thread runs. `kernel` has the engine of the machine's choice, mostly io_uring. */
const WITH_A_SWITCH = [
  'cookie',
  'hold-file',
  'hold-overflow',
  'network-*',
  'offloads',
  'recall',
  'steady',
  'undisturbed',
];

/**
 * Three levels. `pure` touches nothing outside the process; `kernel` makes real TAPs in namespaces of its own (root), and
 * `kernel-epoll` runs what concerns the switch's engine once more on epoll; `guest`
 * boots real QEMU machines, `dmtcp` the same under DMTCP, where there is one. Kernel and guest suites run one file at a time: they share two cores and measure nothing, but
 * a starved guest makes a slow test.
 */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'pure', include: ['test/pure/**/*.test.ts'] } },
      { test: { name: 'kernel', include: ['test/kernel/**/*.test.ts'], ...KERNEL } },
      {
        test: {
          name: 'kernel-epoll',
          include: WITH_A_SWITCH.map((name) => `test/kernel/${name}.test.ts`),
          env: { STILLWIRE_ENGINE: 'epoll' },
          ...KERNEL,
        },
      },
      {
        test: {
          name: 'guest',
          include: ['test/guest/**/*.test.ts'],
          exclude: ['test/guest/dmtcp*.test.ts'],
          ...GUEST,
        },
      },
      { test: { name: 'dmtcp', include: ['test/guest/dmtcp*.test.ts'], ...GUEST } },
    ],
  },
});
