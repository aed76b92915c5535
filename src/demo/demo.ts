/**
 * The demo: three guests on two segments, traffic in every direction, two checkpoints in mid-flow, everything lost
 * after the second, a restart, and the account.
 *
 *   up         a — left — r — right — b; TCP streams and numbered UDP between all of them, IPv4 and IPv6
 *   first      a checkpoint; the guests go on
 *   second     a checkpoint with kill; then a look for what should be gone
 *   restart    from the second
 *   finish     senders stop and tell their totals, which are held against what the receivers counted
 *
 * The guests' generators act by their own clocks and never wait for the demo. Nothing is tried twice: whatever is
 * lost, not proven, left over, or thinner in flight than {@link LEAST_IN_FLIGHT} makes the result `ok: false`.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CheckpointReport, RestartReport } from '../checkpoint/index.js';
import { DaemonClient, launchDaemon } from '../daemon/index.js';
import { checkpointsDirectory, removeCheckpoint, stateDirectory } from '../image/index.js';
import { footprintOf, lookFor, type Finding } from './footprint.js';
import { GuestConsole } from './guest-console.js';
import { askStatus, finishTraffic, trafficRuns } from './result.js';
import { countSequenced } from './sequenced.js';
import { endNetwork, refuseRunning } from './session.js';
import { slowestFlow, tallyUp } from './tally.js';
import { ROUTED_GUESTS, testNetwork, type Load } from './traffic-network.js';
import type { Account, Cut } from './account.js';

export const DEMO_NETWORK = 'demo';
/** Sequenced datagrams that must be in flight at each cut, or the demo shows nothing. */
export const LEAST_IN_FLIGHT = 10;

/** Twelve flows: 6,600 datagrams and 1.8 MB of TCP a second, which two cores carry with emulated guests. */
const LOAD: Load = { udpRate: 550, tcpRate: '150k' };
/**
 * The drain ends when all guests have read what was sent to them; a machine with other work gets more time for it. But
 * it lasts 20 ms at least: a fast cut takes 3 ms, in which emulated guests, scheduled in slices as long, may happen to
 * send nothing, and there would be little to show.
 */
const BOUNDS = { drainMs: 1000, lingerMs: 20 };
const BEFORE_FIRST_MS = 3000;
const BETWEEN_MS = 3000;
const AFTER_RESTART_MS = 4000;
/** For what takes seconds on an idle machine. */
const PATIENCE_MS = 60_000;

export interface DemoOptions {
  readonly signal: AbortSignal;
  /** Told in words what is being done. */
  readonly onProgress?: (text: string) => void;
  /** STATE; the checkpoints stay in STATE/demo. Default {@link stateDirectory}. */
  readonly state?: string;
}

/**
 * Plays the demo.
 * @throws StillwireError when it could not be played to its end; nothing is left then
 */
export async function playDemo(options: DemoOptions): Promise<Account> {
  await refuseRunning(DEMO_NETWORK);
  const demo = new Demo(options);
  try {
    return await demo.play();
  } catch (error) {
    await endNetwork(DEMO_NETWORK);
    await demo.removeTraces();
    throw options.signal.aborted ? options.signal.reason : error;
  }
}

class Demo {
  readonly #signal: AbortSignal;
  readonly #say: (text: string) => void;
  readonly #state: string;
  readonly #directory: string;
  readonly #consoleDirectory: string;
  readonly #consoles: readonly GuestConsole[];

  constructor({ signal, onProgress = () => undefined, state = stateDirectory() }: DemoOptions) {
    this.#signal = signal;
    this.#say = onProgress;
    this.#state = state;
    this.#directory = checkpointsDirectory(state, DEMO_NETWORK);
    // Beside the checkpoints, which name these paths: so they can be restarted later.
    this.#consoleDirectory = join(this.#directory, 'consoles');
    this.#consoles = Object.keys(ROUTED_GUESTS).map(
      (guest) => new GuestConsole(guest, this.#consoleDirectory),
    );
  }

  async play(): Promise<Account> {
    const patience = { withinMs: PATIENCE_MS, signal: this.#signal };
    await this.#bringUp();
    await trafficRuns(this.#consoles, patience);
    this.#say('traffic flows: 12 flows of UDP and 12 TCP streams, every guest to every other, IPv4 and IPv6');
    const began = performance.now();
    const before = await askStatus(this.#consoles, patience);
    await this.#wait(BEFORE_FIRST_MS);
    const after = await askStatus(this.#consoles, patience);
    const slowestRate = slowestFlow(before, after, performance.now() - began);
    this.#say(`the slowest flow sends ${Math.round(slowestRate)} datagrams a second`);

    const first = await this.#checkpoint('first', false);
    await this.#wait(BETWEEN_MS);
    const footprint = await footprintOf(DEMO_NETWORK);
    const second = await this.#checkpoint('second', true);
    const findings = await lookFor(footprint);
    for (const { what, gone } of findings) this.#say(`  ${gone ? 'gone' : 'STILL THERE'}: ${what}`);

    const { restartMs } = await this.#restart(second.report.path);
    await this.#wait(AFTER_RESTART_MS);
    this.#say('finishing: senders stop, wait for what is on its way, and tell their totals');
    const tally = tallyUp(await finishTraffic(this.#consoles, { ...patience, withinMs: 2 * PATIENCE_MS }));
    await endNetwork(DEMO_NETWORK);
    return { cuts: [first, second], left: leftOf(findings), restartMs, slowestRate, tally };
  }

  /** What a failed demo leaves, and an earlier one has left. */
  async removeTraces(): Promise<void> {
    for (const name of ['first', 'second']) {
      await removeCheckpoint(join(this.#directory, name)).catch(() => undefined); // there may be none
    }
    await rm(this.#consoleDirectory, { recursive: true, force: true });
  }

  async #bringUp(): Promise<void> {
    const definition = testNetwork(DEMO_NETWORK, this.#consoleDirectory, ROUTED_GUESTS, LOAD);
    await this.removeTraces();
    await mkdir(this.#consoleDirectory, { recursive: true, mode: 0o700 });
    this.#say('starting guests a, r and b: a is on segment left, b on right, r routes between them');
    await launchDaemon({ kind: 'up', definition, state: this.#state }, { signal: this.#signal });
    this.#say('guests boot');
  }

  async #checkpoint(name: string, kill: boolean): Promise<Cut> {
    this.#say(
      kill
        ? `checkpoint ${name} in mid-flow, with kill: everything ends once the image is durable`
        : `checkpoint ${name} in mid-flow; the guests go on`,
    );
    const client = await DaemonClient.connect({ network: DEMO_NETWORK });
    const report: CheckpointReport = await client.checkpoint(
      { name, kill, bounds: BOUNDS },
      undefined,
      this.#signal,
    );
    const inFlightUdp = await countSequenced(report.path);
    this.#say(
      `  ${report.inFlightFrames} frames in flight, ${inFlightUdp} of them sequenced UDP; ` +
        `${report.proven ? 'proven complete' : 'NOT PROVEN'}; pause ${Math.round(report.pauseMs)} ms`,
    );
    return { report, inFlightUdp };
  }

  async #restart(directory: string): Promise<RestartReport> {
    this.#say('restart: a new daemon, new TAPs, guests loaded, frames put back');
    const job = { kind: 'restart', directory, state: this.#state, startedAtMs: Date.now() } as const;
    const report = await launchDaemon(job, { signal: this.#signal });
    this.#say(`  guests run after ${report.restartMs} ms; ${report.reinjectedFrames} frames delivered`);
    return report;
  }

  async #wait(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#signal });
  }
}

const leftOf = (findings: readonly Finding[]): string[] =>
  findings.filter(({ gone }) => !gone).map(({ what }) => what);
