/** A network that holds nothing and remembers what it was asked, for the daemon's server. */
import type {
  CheckpointOptions,
  CheckpointReport,
  ImageReport,
  NetworkStatus,
} from '../../src/checkpoint/index.js';
import type { HeldNetwork, Served } from '../../src/daemon/control.js';
import { Control } from '../../src/daemon/control.js';
import type { NetworkDefinition } from '../../src/definition/index.js';
import { StillwireError } from '../../src/errors/index.js';
import type { HoldOptions, HoldState, Mark, Release } from '../../src/network/index.js';
import type { CapturedFrame } from '../../src/switch/index.js';

export const DEFINITION: NetworkDefinition = {
  network: 'lab',
  segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
  guests: {},
  ports: {
    a: { kind: 'device', segment: 'lan', device: 'a0', addresses: [], mtu: 1500 },
    b: { kind: 'device', segment: 'lan', device: 'b0', addresses: [], mtu: 1500 },
  },
};

const STATUS: NetworkStatus = {
  network: 'lab',
  namespace: 'stillwire-lab',
  engine: 'epoll',
  held: false,
  guests: [{ name: 'g', pid: 1, state: 'running', ports: [] }],
  ports: [
    {
      port: 'a',
      kind: 'device',
      segment: 'lan',
      device: 'a0',
      in: { frames: 1, bytes: 60, discarded: 0 },
      out: { frames: 2, bytes: 120, dropped: 0, reasons: {} },
      held: 0,
    },
  ],
};

export const IMAGE: ImageReport = {
  name: 'm',
  path: '/nowhere/m',
  method: 'count',
  proven: true,
  ports: [],
  inFlightFrames: 3,
  ledger: [],
  bytes: 100,
};

export const REPORT: CheckpointReport = {
  ...IMAGE,
  pauseMs: 12.5,
  releaseMs: null,
  phases: { hold: 0.1 },
  skewMs: { stop: 1, resume: null },
  killed: false,
};

export class FakeHold implements HeldNetwork {
  readonly token = `token-${String(Math.random()).slice(2)}`;
  readonly method = 'count' as const;
  readonly heldAt = Number(process.hrtime.bigint()) / 1e6;
  readonly unready: string[] = [];
  inImage = false;
  readonly renewed: (number | undefined)[] = [];
  state: HoldState = 'held';
  readonly #lost = new AbortController();

  constructor(readonly onEnd: () => void) {}

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  expire(): void {
    this.state = 'expired';
    this.#lost.abort(new StillwireError('HOLD_EXPIRED', 'the lease ran out'));
    this.onEnd();
  }

  renew(leaseMs?: number): void {
    this.renewed.push(leaseMs);
  }

  mark(): Promise<Mark> {
    this.inImage = true;
    return Promise.resolve(Object.create(null) as Mark); // only handed on
  }

  forgetImage(): void {
    this.inImage = false;
  }

  release(): Promise<void> {
    this.state = 'released';
    this.onEnd();
    return Promise.resolve();
  }
}

/** Runs until it is told how to end. */
export class FakeCheckpoint {
  readonly done: Promise<CheckpointReport>;
  settle: { resolve: (report: CheckpointReport) => void; reject: (error: unknown) => void };

  constructor(readonly options: CheckpointOptions) {
    let settle: FakeCheckpoint['settle'] | undefined;
    this.done = new Promise((resolve, reject) => (settle = { resolve, reject }));
    this.settle = settle!;
    options.signal.addEventListener('abort', () => this.settle.reject(options.signal.reason));
  }
}

const networkOf = (fake: FakeNetwork): Served['network'] => ({
  get currentHold() {
    return fake.current;
  },
  hold(options) {
    fake.holdOptions.push(options);
    const hold = new FakeHold(() => (fake.current = undefined));
    fake.current = hold;
    fake.holds.push(hold);
    return Promise.resolve(hold);
  },
  nextRelease(): Promise<Release | undefined> {
    const now = Number(process.hrtime.bigint()) / 1e6 + 2;
    return Promise.resolve({ notice: 'released', epoch: 1, startedAt: undefined, drainedAt: now });
  },
  async *capture(signal) {
    yield* fake.batches;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  },
});

export class FakeNetwork implements Served {
  readonly definition = DEFINITION;
  readonly holds: FakeHold[] = [];
  readonly holdOptions: HoldOptions[] = [];
  readonly checkpoints: FakeCheckpoint[] = [];
  readonly ends: string[] = [];
  /** Batches that a capture yields before it waits for its end. */
  batches: { frames: CapturedFrame[]; missed: number }[] = [];
  current: FakeHold | undefined;
  broken: Error | undefined;
  /** What the writing of an image fails with. */
  full: Error | undefined;

  status(): Promise<NetworkStatus> {
    return this.broken === undefined ? Promise.resolve(STATUS) : Promise.reject(this.broken);
  }

  readonly network = networkOf(this);

  control(): Control {
    return new Control({
      live: this,
      checkpoints: '/nowhere',
      takeCheckpoint: (options) => {
        const checkpoint = new FakeCheckpoint(options);
        this.checkpoints.push(checkpoint);
        return checkpoint.done;
      },
      saveMark: (_mark, { name }) =>
        this.full === undefined ? Promise.resolve({ ...IMAGE, name }) : Promise.reject(this.full),
      onDown: (why) => this.ends.push(why),
    });
  }
}
