/** What is asked: floors and goals of every comparison between carriers. */
import type { CarrierKind, CarrierName } from './carrier.js';
import { cLoop } from './peers/c-loop.js';
import { linuxBridge } from './peers/linux-bridge.js';
import { openVswitch } from './peers/open-vswitch.js';
import { vdeSwitch } from './peers/vde-switch.js';
import type { Asked, Unit } from './row.js';

export const PEERS: readonly CarrierKind[] = [linuxBridge, cLoop, vdeSwitch, openVswitch];

export type Metric = 'bulk' | 'frames' | 'answer' | 'cpu';

export const METRICS: Readonly<
  Record<Metric, { readonly name: string; readonly unit: Unit; readonly less: boolean }>
> = {
  bulk: { name: 'bulk TCP', unit: 'bit/s', less: false },
  frames: { name: '64-byte frames per second', unit: 'frames/s', less: false },
  answer: { name: 'request/response p50', unit: 'µs', less: true },
  cpu: { name: 'CPU per frame', unit: 'ns/frame', less: true },
};

type Bounds = readonly [floor: number, goal: number];

export interface Comparison extends Asked {
  readonly metric: Metric;
  readonly ours: CarrierName;
  readonly theirs: CarrierName;
}

const compare = (
  ours: 'packet' | 'TAP fd',
  theirs: CarrierName,
  bounds: Partial<Record<Metric, Bounds>>,
): Comparison[] =>
  (Object.entries(bounds) as [Metric, Bounds][]).map(([metric, [floor, goal]]) => ({
    ...METRICS[metric],
    name: `${METRICS[metric].name}, ${ours}`,
    peer: theirs,
    metric,
    floor,
    goal,
    ours: `Stillwire, ${ours}` as const,
    theirs,
  }));

const BRIDGE = { bulk: [0.75, 0.85], frames: [0.9, 1], answer: [2.5, 2] } as const;

export const COMPARISONS: readonly Comparison[] = [
  ...compare('packet', 'Linux bridge', BRIDGE),
  ...compare('TAP fd', 'Linux bridge', BRIDGE),
  ...compare('TAP fd', 'C loop', { bulk: [1, 1.1], frames: [1.1, 1.2], answer: [1.1, 1], cpu: [0.85, 0.75] }),
  ...compare('TAP fd', 'vde_switch', {
    bulk: [7, 8],
    frames: [1.3, 1.5],
    answer: [1.1, 1],
    cpu: [0.65, 0.6],
  }),
  ...compare('packet', 'Open vSwitch', {
    bulk: [12, 15],
    frames: [2, 2.5],
    answer: [0.5, 0.4],
    cpu: [0.5, 0.4],
  }),
];
