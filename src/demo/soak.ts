/**
 * The soak: guests under mixed load, many checkpoints at random moments, by every method, some given up in the middle,
 * some followed by the end of everything and a restart under the same name. Every image is verified and then removed.
 * What was lost over all of it is known at the end, when senders and receivers compare.
 *
 * All is decided by the seed (soak-plan.ts) but what the machine's own timing adds. Nothing is tried twice. A checkpoint
 * that gives up, and says so, has lost nothing; but only `quiet` may, when the network does not become quiet.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CheckpointReport } from '../checkpoint/index.js';
import { DaemonClient, launchDaemon, type CheckpointBody } from '../daemon/index.js';
import { StillwireError, type ErrorCode } from '../errors/index.js';
import { checkpointsDirectory, removeCheckpoint, verifyImage } from '../image/index.js';
import type { QuiesceMethod } from '../quiesce/index.js';
import { sampleDaemon, type Sample } from './daemon-memory.js';
import { inFlightByKind, type InFlight } from './frame-kinds.js';
import { addDrops, switchDrops, tapDrops } from './footprint.js';
import { GuestConsole } from './guest-console.js';
import { mixedGuests, type Part } from './mixed-load.js';
import { tallyMixed, type MixedTally } from './mixed-tally.js';
import { SeededRandom } from './random.js';
import { finishTraffic, trafficRuns } from './result.js';
import { endNetwork, refuseRunning } from './session.js';
import { planSoak, type Step } from './soak-plan.js';
import { testNetwork, type Load } from './traffic-network.js';

export const SOAK_NETWORK = 'soak';
/** As in the demo: the drain ends by itself; the bound is for a machine with other work. */
const BOUNDS = { drainMs: 1000 };
const BOOT_MS = 90_000;
const FINISH_MS = 180_000;
/** Before the traffic is ended. */
const LAST_MS = 800;

export interface SoakOptions extends Load {
  /** Checkpoints after which the guests go on. */
  readonly inPlace: number;
  /** Checkpoints with kill, each followed by a restart. */
  readonly kill: number;
  readonly methods: readonly QuiesceMethod[];
  /** Of the load. */
  readonly parts: readonly Part[];
  /** 2 to {@link MIXED_GUESTS_MAX}. */
  readonly guests: number;
  readonly seed: number;
  /** From the first cycle on: no cycle is begun after this, and the account is of those done. Absent: all are. */
  readonly seconds?: number;
  /** Takes images and consoles; the caller removes it. */
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/** One checkpoint that was completed. */
export interface Cut {
  readonly kind: 'inPlace' | 'twice' | 'kill' | 'aborted';
  readonly method: QuiesceMethod;
  readonly killed: boolean;
  readonly proven: boolean;
  /** Why not, of each port that was not. */
  readonly doubts: readonly string[];
  readonly pauseMs: number;
  readonly restartMs?: number;
  readonly inFlightFrames: number;
  readonly inFlight: InFlight;
}

/** One that gave up. */
export interface Refusal {
  readonly kind: Step['kind'];
  readonly method: QuiesceMethod;
  readonly code: ErrorCode;
  readonly message: string;
}

export interface SoakAccount {
  readonly cuts: readonly Cut[];
  readonly refusals: readonly Refusal[];
  /** Checkpoints whose client gave up, and that were undone. */
  readonly aborted: number;
  /** Of each daemon in turn, a sample a cycle. */
  readonly lives: readonly (readonly Sample[])[];
  readonly tally: MixedTally;
  /** Frames that the kernel dropped at the guests' TAPs, at any time, both ways. */
  readonly tapDrops: number;
  /** Frames that the switch dropped, by reason: what waited for a guest that was starved for long, say. */
  readonly switchDrops: Readonly<Record<string, number>>;
}

/**
 * Runs the soak.
 * @throws StillwireError what a step raised; IMAGE_INVALID for an image that does not verify. Nothing runs then
 */
export async function runSoak(options: SoakOptions): Promise<SoakAccount> {
  await refuseRunning(SOAK_NETWORK);
  // Inherited by the daemons.
  const collect = `--import=${new URL('./collect.js', import.meta.url).href}`;
  process.env['NODE_OPTIONS'] = `${process.env['NODE_OPTIONS'] ?? ''} ${collect}`.trim();
  try {
    return await new Soak(options).run();
  } finally {
    await endNetwork(SOAK_NETWORK);
  }
}

class Soak {
  readonly #options: SoakOptions;
  readonly #consoles: readonly GuestConsole[];
  readonly #cuts: Cut[] = [];
  readonly #refusals: Refusal[] = [];
  readonly #lives: Sample[][] = [];
  #aborted = 0;
  /** Of the TAPs that are gone. */
  #tapDrops = 0;
  /** Of the daemons that are gone. */
  readonly #switchDrops: Record<string, number> = {};
  #taken = 0;

  constructor(options: SoakOptions) {
    this.#options = options;
    this.#consoles = Object.keys(mixedGuests(options.guests)).map(
      (guest) => new GuestConsole(guest, this.#consoleDirectory),
    );
  }

  get #consoleDirectory(): string {
    return join(this.#options.directory, 'consoles');
  }

  async run(): Promise<SoakAccount> {
    const { directory: state, guests, parts, signal, onProgress } = this.#options;
    const load = mixedGuests(guests, parts);
    const definition = testNetwork(SOAK_NETWORK, this.#consoleDirectory, load, this.#options);
    await mkdir(this.#consoleDirectory, { mode: 0o700 });
    onProgress(`starting ${guests} guests`);
    await launchDaemon({ kind: 'up', definition, state }, { signal });
    this.#lives.push([]);
    await trafficRuns(this.#consoles, { withinMs: BOOT_MS, signal });
    onProgress(`traffic flows: ${['main', ...parts].join(', ')}`);

    const steps = planSoak(this.#options, new SeededRandom(this.#options.seed));
    const end = performance.now() + 1000 * (this.#options.seconds ?? Infinity);
    for (const [i, step] of steps.entries()) {
      if (performance.now() > end) break;
      await delay(step.pauseMs, undefined, { signal });
      const did = await this.#take(step);
      await this.#sample();
      onProgress(`${i + 1}/${steps.length} ${did}`);
    }
    await delay(LAST_MS, undefined, { signal });
    onProgress('finishing');
    const results = await finishTraffic(this.#consoles, { withinMs: FINISH_MS, signal });
    return {
      cuts: this.#cuts,
      refusals: this.#refusals,
      aborted: this.#aborted,
      lives: this.#lives,
      tally: tallyMixed(results, parts),
      tapDrops: this.#tapDrops + (await tapDrops(SOAK_NETWORK)),
      switchDrops: await this.#allSwitchDrops(),
    };
  }

  async #allSwitchDrops(): Promise<Record<string, number>> {
    addDrops(this.#switchDrops, await switchDrops(await DaemonClient.connect({ network: SOAK_NETWORK })));
    return this.#switchDrops;
  }

  async #take(step: Step): Promise<string> {
    const { kind, method } = step;
    switch (kind) {
      case 'inPlace':
        return this.#one(kind, { method });
      case 'kill':
        return this.#one(kind, { method, kill: true });
      case 'twice':
        return `${await this.#one(kind, { method })}; at once ${await this.#one(kind, { method: step.second })}`;
      case 'aborted':
        return this.#one(kind, { method, kill: step.kill }, step.afterMs);
    }
  }

  /** One checkpoint, verified and removed, with a restart from it when it killed. */
  async #one(kind: Step['kind'], body: CheckpointBody, abortAfterMs?: number): Promise<string> {
    const { signal, directory: state } = this.#options;
    const method = body.method ?? 'auto';
    const name = `c${++this.#taken}`;
    const client = await DaemonClient.connect({ network: SOAK_NETWORK });
    const dropsBefore = body.kill === true ? await tapDrops(SOAK_NETWORK) : 0;
    const switchBefore = body.kill === true ? await switchDrops(client) : {};
    const leave = new AbortController();
    const leaving = abortAfterMs === undefined ? undefined : setTimeout(() => leave.abort(), abortAfterMs);
    let report: CheckpointReport;
    try {
      const either = AbortSignal.any([signal, leave.signal]);
      report = await client.checkpoint({ name, bounds: BOUNDS, ...body }, undefined, either);
    } catch (error) {
      signal.throwIfAborted();
      return this.#refused(kind, method, name, StillwireError.from(error), leave.signal.aborted);
    } finally {
      clearTimeout(leaving);
    }
    if (report.killed) {
      this.#tapDrops += dropsBefore;
      addDrops(this.#switchDrops, switchBefore);
    }
    await verify(report);
    const inFlight = await inFlightByKind(report.path);
    const restartMs = report.killed ? await this.#restart(report.path, state) : undefined;
    await removeCheckpoint(report.path);
    const { proven, pauseMs, killed, inFlightFrames, ports } = report;
    const doubts = ports.flatMap(({ port, reason }) => (reason === undefined ? [] : [`${port}: ${reason}`]));
    this.#cuts.push({
      ...{ kind, method, killed, proven, doubts, pauseMs, inFlightFrames, inFlight },
      ...(restartMs === undefined ? {} : { restartMs }),
    });
    const words = [`${kind} ${method}: ${inFlightFrames} in flight, pause ${pauseMs.toFixed(0)} ms`];
    if (restartMs !== undefined) words.push(`killed, restarted in ${restartMs} ms`);
    if (!proven) words.push(`NOT PROVEN${method === 'quiet' ? '' : ` (${doubts.join('; ')})`}`);
    return words.join(', ');
  }

  #refused(
    kind: Step['kind'],
    method: QuiesceMethod,
    name: string,
    { code, message }: StillwireError,
    left: boolean,
  ): string {
    const path = join(checkpointsDirectory(this.#options.directory, SOAK_NETWORK), name);
    if (existsSync(path)) throw new StillwireError('IMAGE_INVALID', `${path} is there, though ${message}`);
    if (left && code === 'INTERRUPTED') {
      this.#aborted++;
      return `${kind} ${method}: undone`;
    }
    this.#refusals.push({ kind, method, code, message });
    return `${kind} ${method}: GAVE UP, ${code}: ${message}`;
  }

  async #restart(directory: string, state: string): Promise<number> {
    const { signal } = this.#options;
    const job = { kind: 'restart', directory, state, startedAtMs: Date.now() } as const;
    const { restartMs } = await launchDaemon(job, { signal });
    this.#lives.push([]);
    return restartMs;
  }

  async #sample(): Promise<void> {
    const client = await DaemonClient.connect({ network: SOAK_NETWORK });
    process.kill((await client.health()).pid, 'SIGUSR2');
    await client.health(); // the signal may be heard behind the first request after it
    const { pid, memory } = await client.health();
    if (memory !== undefined) this.#lives.at(-1)!.push(sampleDaemon(pid, memory));
  }
}

async function verify(report: CheckpointReport): Promise<void> {
  const { faults, unsupported, proven, inFlightFrames } = await verifyImage(report.path);
  const found = [...faults, ...unsupported];
  if (proven !== report.proven) found.push('proven differs from the report');
  if (inFlightFrames !== report.inFlightFrames) found.push(`${inFlightFrames ?? 'no'} frames are in it`);
  if (found.length > 0) throw new StillwireError('IMAGE_INVALID', `${report.path}: ${found.join('; ')}`);
}
