/**
 * The soak: loaded guests on one segment, many checkpoints at random moments, some of them followed by the end of
 * everything and a restart. Every image is verified and then removed. What was lost over all of it is known at the
 * end, when senders and receivers compare.
 *
 *   npm run soak -- [--checkpoints 100] [--restarts 20] [--guests 2] [--udp-rate 500] [--tcp-rate 250k] [--seed N] [--json]
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CheckpointReport } from '../checkpoint/index.js';
import { DaemonClient, launchDaemon } from '../daemon/index.js';
import { StillwireError } from '../errors/index.js';
import { removeCheckpoint, verifyImage } from '../image/index.js';
import { GuestConsole } from './guest-console.js';
import { SeededRandom } from './random.js';
import { finishTraffic, trafficRuns } from './result.js';
import { endNetwork, refuseRunning } from './session.js';
import { tallyUp, type Tally } from './tally.js';
import { flatGuests, testNetwork, type Load } from './traffic-network.js';

const SOAK_NETWORK = 'soak';
/** Between two checkpoints, and after a restart. */
const PAUSE_MS = { least: 100, most: 800 };
/** As in the demo: the drain ends by itself; the bound is for a machine with other work. */
const BOUNDS = { drainMs: 1000 };
const BOOT_MS = 60_000;
const FINISH_MS = 120_000;

export interface SoakOptions extends Load {
  /** In place: the guests go on. */
  readonly checkpoints: number;
  /** Checkpoints with kill, each followed by a restart; spread over the others. */
  readonly restarts: number;
  /** 2 to 9. */
  readonly guests: number;
  /** Of the random moments. */
  readonly seed: number;
  /** Takes images and consoles; the caller removes it. */
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

export interface SoakAccount {
  readonly checkpoints: number;
  readonly restarts: number;
  readonly inFlightFrames: number;
  /** Cuts that were not proven. */
  readonly unproven: number;
  readonly tally: Tally;
  /** Of the checkpoints in place, milliseconds. */
  readonly pausesMs: readonly number[];
  readonly restartsMs: readonly number[];
}

/**
 * Runs the soak.
 * @throws StillwireError what a step raised; IMAGE_INVALID for an image that does not verify. Nothing runs then
 */
export async function runSoak(options: SoakOptions): Promise<SoakAccount> {
  await refuseRunning(SOAK_NETWORK);
  try {
    return await new Soak(options).run();
  } finally {
    await endNetwork(SOAK_NETWORK);
  }
}

class Soak {
  readonly #options: SoakOptions;
  readonly #random: SeededRandom;
  readonly #consoles: readonly GuestConsole[];
  readonly #pausesMs: number[] = [];
  readonly #restartsMs: number[] = [];
  #inFlightFrames = 0;
  #unproven = 0;

  constructor(options: SoakOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#consoles = Object.keys(flatGuests(options.guests)).map(
      (guest) => new GuestConsole(guest, this.#consoleDirectory),
    );
  }

  get #consoleDirectory(): string {
    return join(this.#options.directory, 'consoles');
  }

  async run(): Promise<SoakAccount> {
    const { checkpoints, restarts, directory: state, guests, signal, onProgress } = this.#options;
    const definition = testNetwork(SOAK_NETWORK, this.#consoleDirectory, flatGuests(guests), this.#options);
    await mkdir(this.#consoleDirectory, { mode: 0o700 });
    onProgress(`starting ${guests} guests`);
    await launchDaemon({ kind: 'up', definition, state }, { signal });
    await trafficRuns(this.#consoles, { withinMs: BOOT_MS, signal });
    onProgress('traffic flows');

    const rounds = checkpoints + restarts;
    for (let round = 1; round <= rounds; round++) {
      // The restarts fall evenly: this round is one when its share of them grows by one.
      const kill = Math.floor((round * restarts) / rounds) > Math.floor(((round - 1) * restarts) / rounds);
      await delay(this.#random.between(PAUSE_MS.least, PAUSE_MS.most), undefined, { signal });
      const did = await this.#round(`c${round}`, kill);
      onProgress(`${round}/${rounds} ${did}`);
    }
    await delay(PAUSE_MS.most, undefined, { signal });
    onProgress('finishing');
    const results = await finishTraffic(this.#consoles, { withinMs: FINISH_MS, signal });
    return {
      checkpoints,
      restarts,
      inFlightFrames: this.#inFlightFrames,
      unproven: this.#unproven,
      tally: tallyUp(results),
      pausesMs: this.#pausesMs,
      restartsMs: this.#restartsMs,
    };
  }

  /** One checkpoint, verified and removed, with a restart from it when it killed. */
  async #round(name: string, kill: boolean): Promise<string> {
    const { signal, directory: state } = this.#options;
    const client = await DaemonClient.connect({ network: SOAK_NETWORK });
    const report = await client.checkpoint({ name, kill, bounds: BOUNDS }, undefined, signal);
    this.#inFlightFrames += report.inFlightFrames;
    if (!report.proven) this.#unproven++;
    await verify(report);
    let words = `${report.inFlightFrames} in flight, pause ${report.pauseMs.toFixed(0)} ms`;
    if (kill) {
      const job = { kind: 'restart', directory: report.path, state, startedAtMs: Date.now() } as const;
      const { restartMs } = await launchDaemon(job, { signal });
      this.#restartsMs.push(restartMs);
      words += `, killed, restarted in ${restartMs} ms`;
    } else {
      this.#pausesMs.push(report.pauseMs);
    }
    await removeCheckpoint(report.path);
    return report.proven ? words : `${words}, NOT PROVEN`;
  }
}

async function verify(report: CheckpointReport): Promise<void> {
  const { faults, unsupported, proven, inFlightFrames } = await verifyImage(report.path);
  const found = [...faults, ...unsupported];
  if (proven !== report.proven) found.push('proven differs from the report');
  if (inFlightFrames !== report.inFlightFrames) found.push(`${inFlightFrames ?? 'no'} frames are in it`);
  if (found.length > 0) throw new StillwireError('IMAGE_INVALID', `${report.path}: ${found.join('; ')}`);
}
