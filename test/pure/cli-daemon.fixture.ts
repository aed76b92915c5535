/** A daemon room that only remembers what it was asked. */
import type { CheckpointReport, NetworkStatus } from '../../src/checkpoint/index.js';
import type { Daemon } from '../../src/cli/session.js';
import type {
  DaemonClient,
  Job,
  ReadyReport,
  RunningNetwork,
  StaleStatus,
  StartEvent,
} from '../../src/daemon/index.js';
import { StillwireError } from '../../src/errors/index.js';
import { body } from './image-sample.js';

export const networkStatus: NetworkStatus = {
  network: 'lab',
  namespace: 'stillwire-lab',
  engine: 'epoll',
  held: false,
  guests: [{ name: 'a', pid: 4711, state: 'running', ports: ['a/nic0'] }],
  ports: [
    {
      port: 'a/nic0',
      kind: 'tap',
      segment: 'lan',
      in: { frames: 12, bytes: 2048, discarded: 1 },
      out: { frames: 34, bytes: 100, dropped: 0, reasons: {} },
      held: 5,
    },
  ],
};

const [evidence] = body('x').evidence;

export const checkpointReport: CheckpointReport = {
  name: 'one',
  path: '/var/lib/stillwire/lab/one',
  method: 'count',
  proven: false,
  ports: [{ port: 'a/nic0', proven: false, reason: 'its reason', evidence: evidence! }],
  inFlightFrames: 23,
  pauseMs: 41.3,
  releaseMs: 2.5,
  phases: { hold: 0.1 },
  skewMs: { stop: 1.2, resume: 3 },
  ledger: [],
  bytes: 1536,
  killed: false,
};

const restartReport = {
  name: 'one',
  network: 'lab',
  path: '/x',
  restartMs: 1234,
  phases: {},
  reinjectedFrames: 3,
  guests: [{ name: 'a', state: 'running' }],
};
const restoreReport = {
  name: 'one',
  network: 'lab',
  path: '/x',
  reinjectedFrames: 3,
  token: 't',
  leaseMs: 300_000,
};
const REPORTS = { up: networkStatus, restart: restartReport, restore: restoreReport };

export interface Behaviour {
  readonly running?: readonly RunningNetwork[];
  readonly leaseMs?: number;
  /** Instead of what a client does by itself. */
  readonly client?: Partial<DaemonClient>;
  /** How a launched or foreground daemon fails. */
  readonly failure?: StillwireError;
}

/** The room and, in order, what was asked of it. */
export function fakeDaemon({ running, leaseMs = 5000, client = {}, failure }: Behaviour = {}) {
  const asked: unknown[][] = [];
  const note = (...call: unknown[]): void => {
    asked.push(call);
  };
  const later = (...call: unknown[]): Promise<void> => {
    note(...call);
    return Promise.resolve();
  };
  const start = <J extends Job>(job: J, onEvent?: (event: StartEvent) => void): ReadyReport<J> => {
    note('start', job);
    onEvent?.({ event: 'phase', phase: 'load', ms: 12 });
    if (failure !== undefined) throw failure;
    return REPORTS[job.kind] as ReadyReport<J>;
  };
  const own: Partial<DaemonClient> = {
    network: 'lab',
    status: () => Promise.resolve(networkStatus),
    checkpoint: (ask, onEvent) => {
      note('checkpoint', ask);
      onEvent?.({ event: 'phase', phase: 'hold', ms: 0.1 });
      onEvent?.({ event: 'phase', phase: 'save', ms: 1500 });
      return Promise.resolve(checkpointReport);
    },
    hold: (ask) => {
      note('hold', ask);
      return Promise.resolve({
        token: 'the-token',
        method: 'count' as const,
        leaseMs,
        drainMs: 0.7,
        unready: [],
      });
    },
    renew: (token, ms) => later('renew', token, ms),
    mark: (token, name) => {
      note('mark', token, name);
      return Promise.resolve(checkpointReport);
    },
    release: (token) => {
      note('release', token);
      return Promise.resolve({ heldMs: 50, releaseMs: null });
    },
    down: () => later('down'),
  };
  const room = {
    DaemonClient: {
      connect: (choice?: object) => {
        note('connect', choice);
        return Promise.resolve({ ...own, ...client });
      },
    },
    runningNetworks: () => Promise.resolve(running ?? [{ network: 'lab', state: 'running' }]),
    staleStatus: (network: string): Promise<StaleStatus> =>
      Promise.resolve({
        network,
        during: 'checkpoint one, with guests stopped',
        guests: [{ name: 'a', pid: 4711, state: 'paused', toResume: true }],
        advice: `\`stillwire up FILE\` takes it up again; \`stillwire down -n ${network}\` ends it`,
      }),
    removeStale: (network: string) => later('removeStale', network),
    launchDaemon: async (job: Job, { onEvent }: { onEvent?: (event: StartEvent) => void }) =>
      Promise.resolve().then(() => start(job, onEvent)),
    runDaemon: async (job: Job, hooks: Parameters<Daemon['runDaemon']>[1] = {}) => {
      await Promise.resolve();
      hooks.onReady?.(start(job, hooks.onEvent));
      note('ended');
    },
  };
  return { asked, daemon: room as unknown as Partial<Daemon> };
}
