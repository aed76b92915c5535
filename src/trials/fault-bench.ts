/**
 * The place the fault matrix is played in: a directory of its own, with a small file system for the images that can be
 * filled; two guests under traffic, saved once, from which every case starts; and the command line, as a user has it.
 * What is only looked at is read through the library, in this process: a row looks dozens of times, and a start of the
 * command line takes longer than most of what it would show.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DaemonClient, runningNetworks, staleStatus, type StaleStatus } from '../daemon/index.js';
import type { NetworkStatus } from '../checkpoint/index.js';
import { StillwireError, type ErrorCode } from '../errors/index.js';
import { GuestConsole } from '../demo/guest-console.js';
import { trafficRuns } from '../demo/result.js';
import { consoleLog, flatGuests, testNetwork } from '../demo/traffic-network.js';
import { QmpClient } from '../guest/index.js';
import { listCheckpoints, removeCheckpoint, verifyImage, type CheckpointSummary } from '../image/index.js';
import { namespaceOf, runProgram } from '../network/index.js';

const CLI = fileURLToPath(new URL('../cli/main.js', import.meta.url));
/** The image every case starts from. */
export const BASE = 'base';
const STATE_BYTES = '700m';
const BOOT = { withinMs: 120_000 };
/** No command of a case takes longer, whatever is done to it. */
const COMMAND_MS = 180_000;

/** What a command said at its end. */
export interface Outcome {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Of a command that failed and told why. */
  readonly code?: ErrorCode;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
}

/** The network as it is now: `running`, or what is left of it. */
export interface Sight {
  readonly running?: NetworkStatus;
  readonly stale?: StaleStatus;
}

export class FaultBench {
  readonly network: string;
  readonly directory: string;
  readonly consoles: readonly GuestConsole[];

  private constructor(directory: string, guests: readonly string[]) {
    this.directory = directory;
    this.network = `faults${process.pid}`;
    this.consoles = guests.map((name) => new GuestConsole(name, directory));
    process.env['STILLWIRE_RUN'] = join(directory, 'run'); // of this process too, for what it looks at
    process.env['STILLWIRE_STATE'] = this.state;
  }

  /** Boots the guests and saves them once traffic flows. */
  static async open(): Promise<FaultBench> {
    const directory = await mkdtemp(join(tmpdir(), 'swf-'));
    const plain = flatGuests(2);
    const bench = new FaultBench(directory, Object.keys(plain));
    await mkdir(bench.state);
    await runProgram(
      'mount',
      '-t',
      'tmpfs',
      '-o',
      `size=${STATE_BYTES},mode=0700`,
      'stillwire-faults',
      bench.state,
    );
    try {
      const guests = Object.fromEntries(
        Object.entries(plain).map(([name, guest]) => [
          name,
          { ...guest, args: ['-qmp', `unix:${bench.#ownMonitor(name)},server=on,wait=off`] },
        ]),
      );
      const { segments, guests: machines } = testNetwork(bench.network, directory, guests, {
        udpRate: 300,
        tcpRate: '100k',
      });
      const file = join(directory, 'network.json');
      await writeFile(
        file,
        JSON.stringify({ network: bench.network, segments: names(segments), guests: machines }),
      );
      await bench.succeed(['up', file, '--detach']);
      await trafficRuns(bench.consoles, BOOT);
      await bench.succeed(['checkpoint', BASE, '--kill', '--drain', '1000']);
      await bench.untilGone();
      return bench;
    } catch (error) {
      await bench.close();
      throw error;
    }
  }

  /** Images lie here, on a file system of its own. */
  get state(): string {
    return join(this.directory, 'state');
  }

  get runDirectory(): string {
    return join(this.directory, 'run', this.network);
  }

  /** Written by a daemon that stands at a step. */
  get reached(): string {
    return join(this.runDirectory, 'reached');
  }

  #ownMonitor(guest: string): string {
    return join(this.directory, `${guest}.own`);
  }

  /** Starts a command of the product. */
  start(args: readonly string[], failAt?: string): Started {
    const fault = failAt === undefined ? {} : { STILLWIRE_FAIL_AT: failAt };
    const words = [
      CLI,
      ...args,
      '--json',
      ...(args[1]?.startsWith('/') === true ? [] : ['-n', this.network]),
    ];
    let settle: (outcome: Outcome) => void = () => undefined;
    const ended = new Promise<Outcome>((resolve) => (settle = resolve));
    const child = execFile(
      process.execPath,
      words,
      {
        env: { ...process.env, ...fault },
        timeout: COMMAND_MS,
        killSignal: 'SIGKILL',
        maxBuffer: 64 * 2 ** 20,
      },
      (error, stdout, stderr) => {
        const exit = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        const code = /"code": ?"([A-Z_]+)"/.exec(stderr)?.[1] as ErrorCode | undefined;
        settle({ exit, stdout, stderr, ...(code === undefined ? {} : { code }) });
      },
    );
    return { child, ended };
  }

  run(args: readonly string[], failAt?: string): Promise<Outcome> {
    return this.start(args, failAt).ended;
  }

  /** @throws StillwireError INTERNAL with what the command said when it fails */
  async succeed(args: readonly string[], failAt?: string): Promise<Outcome> {
    const outcome = await this.run(args, failAt);
    if (outcome.exit === 0) return outcome;
    throw new StillwireError('INTERNAL', `stillwire ${args.join(' ')}: ${outcome.exit}: ${outcome.stderr}`);
  }

  /** A fresh network from the base, its guests running. What the guests said before is forgotten. */
  async begin(failAt?: string): Promise<void> {
    await this.forget();
    await this.succeed(['restart', BASE], failAt);
  }

  startRestart(failAt: string): Started {
    return this.start(['restart', BASE], failAt);
  }

  async forget(): Promise<void> {
    for (const { guest } of this.consoles) await rm(consoleLog(this.directory, guest), { force: true });
  }

  /** Pid of the daemon that stands at a step; of one that does not, as it wrote it down itself. */
  daemonPid(): number {
    if (existsSync(this.reached)) return Number(readFileSync(this.reached, 'utf8').split(' ')[1]);
    const text = readFileSync(join(this.runDirectory, 'state.json'), 'utf8');
    return (JSON.parse(text) as { daemon: { pid: number } }).daemon.pid;
  }

  guestPid(guest: string): number {
    const text = readFileSync(join(this.runDirectory, 'state.json'), 'utf8');
    const { guests } = JSON.parse(text) as { guests: { name: string; pid: number }[] };
    const found = guests.find(({ name }) => name === guest);
    if (found === undefined) throw new StillwireError('INTERNAL', `no guest ${guest} in state.json`);
    return found.pid;
  }

  async monitor(guest: string, command: string): Promise<void> {
    const qmp = await QmpClient.connect(this.#ownMonitor(guest), { guest, timeoutMs: 10_000 });
    try {
      await qmp.execute(command);
    } finally {
      qmp.close();
    }
  }

  get namespace(): string {
    return namespaceOf(this.network);
  }

  /** Fills the file system of the images; the name of the file that does. */
  async fillDisk(): Promise<string> {
    const path = join(this.state, 'full');
    const file = await open(path, 'w');
    const chunk = Buffer.alloc(2 ** 20, 1);
    try {
      for (;;) await file.write(chunk);
    } catch {
      return path;
    } finally {
      await file.close();
    }
  }

  /** Directories in the place of images that are not images yet. */
  drafts(): string[] {
    const place = join(this.state, this.network);
    if (!existsSync(place)) return [];
    return readdirSync(place)
      .filter((name) => name.startsWith('.'))
      .map((name) => join(place, name));
  }

  /** Nothing when there is no such network. @throws StillwireError when its daemon says nothing */
  async look(): Promise<Sight> {
    const found = (await runningNetworks()).find(({ network }) => network === this.network);
    if (found === undefined) return {};
    if (found.state === 'stale') return { stale: await staleStatus(this.network) };
    try {
      return { running: await (await DaemonClient.connect({ network: this.network })).status() };
    } catch (error) {
      const { code } = StillwireError.from(error);
      if (code === 'DAEMON_UNREACHABLE' || code === 'NETWORK_NOT_FOUND') return {};
      throw error;
    }
  }

  /** The images that a case has left. */
  async images(): Promise<CheckpointSummary[]> {
    return (await listCheckpoints(this.state, this.network)).filter(({ name }) => name !== BASE);
  }

  /** Verifies the images of a case and removes them; what is wrong with them. */
  async auditImages(): Promise<string[]> {
    const faults: string[] = [];
    for (const { name, path } of await this.images()) {
      const report = await verifyImage(path);
      faults.push(...[...report.faults, ...report.unsupported].map((fault) => `${name} is listed: ${fault}`));
      await removeCheckpoint(path);
    }
    return faults;
  }

  /** What of a case is left on the machine; nothing when all is well. */
  leftovers(): string[] {
    const run = join(this.directory, 'run');
    const files = existsSync(run) ? readdirSync(run) : [];
    const processes = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && this.#isOurs(pid));
    return [
      ...files.map((name) => `run/${name}`),
      ...processes.map((pid) => `process ${pid}`),
      ...(existsSync(`/run/netns/${this.namespace}`) ? [`namespace ${this.namespace}`] : []),
    ];
  }

  /** A QEMU of this place: its console is here. */
  #isOurs(pid: string): boolean {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      return line.startsWith('/') && line.includes('qemu') && line.includes(`${this.directory}/`);
    } catch {
      return false;
    }
  }

  /** Waits until what ends has ended. */
  async untilGone(): Promise<void> {
    for (let i = 0; i < 500 && this.leftovers().length > 0; i++) await delay(20);
  }

  /** Ends everything of this place, whatever state it is in. */
  async close(): Promise<void> {
    await this.run(['down']);
    for (const left of this.leftovers()) {
      const pid = /^process (\d+)$/.exec(left)?.[1];
      if (pid !== undefined) spawn('kill', ['-9', pid]);
    }
    await this.untilGone();
    await runProgram('umount', this.state).catch(() => undefined);
    await rm(this.directory, { recursive: true, force: true });
  }
}

const names = (entries: object): Record<string, object> =>
  Object.fromEntries(Object.keys(entries).map((name) => [name, {}]));
