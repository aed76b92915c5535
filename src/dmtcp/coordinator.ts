/**
 * DMTCP's coordinator: the process that all guests under it are connected to, and that tells them to checkpoint. One of
 * our own for each network, at a port that the system chooses, unless the user names his: then whatever else runs under
 * that one is checkpointed with the network, and the network with it.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';
import { runDmtcp } from './programs.js';
import { QemuProcess } from '../guest/qemu-process.js';

const START_BOUND_MS = 10_000;
const POLL_MS = 10;

export class DmtcpCoordinator {
  readonly host: string;
  readonly port: number;
  readonly #process: QemuProcess | undefined;

  private constructor(host: string, port: number, process?: QemuProcess) {
    this.host = host;
    this.port = port;
    this.#process = process;
  }

  /** One that runs already. @param address `host:port` */
  static at(address: string): DmtcpCoordinator {
    const colon = address.lastIndexOf(':');
    return new DmtcpCoordinator(address.slice(0, colon), Number(address.slice(colon + 1)));
  }

  /**
   * Starts one that ends with the last guest, should we be killed before.
   * @param directory takes its port file, log and temporary files
   * @throws StillwireError MISSING_PROGRAM; GUEST_FAILED with its words
   */
  static async start(directory: string): Promise<DmtcpCoordinator> {
    const portFile = join(directory, 'dmtcp.port');
    rmSync(portFile, { force: true });
    const own = ['--coord-port', '0', '--port-file', portFile, '--ckptdir', directory, '--tmpdir', directory];
    const process = await QemuProcess.start({
      guest: 'coordinator',
      what: 'the DMTCP coordinator',
      program: 'dmtcp_coordinator',
      args: [...own, '--exit-on-last'],
      fds: [],
      logFile: join(directory, 'dmtcp-coordinator.log'),
    });
    const end = performance.now() + START_BOUND_MS;
    for (;;) {
      const port = portIn(portFile);
      if (port !== undefined) return new DmtcpCoordinator('127.0.0.1', port, process);
      if (process.pid === undefined) throw new StillwireError('GUEST_FAILED', await process.ended);
      if (performance.now() > end) {
        await process.kill();
        throw new StillwireError(
          'GUEST_FAILED',
          `the DMTCP coordinator did not tell its port: ${process.lastWords()}`,
        );
      }
      await delay(POLL_MS);
    }
  }

  /** What tells dmtcp_launch and dmtcp_restart where it is. */
  get arguments(): string[] {
    return ['--join-coordinator', '--coord-host', this.host, '--coord-port', String(this.port)];
  }

  #command(...args: string[]): Promise<string> {
    return runDmtcp('dmtcp_command', '--coord-host', this.host, '--coord-port', String(this.port), ...args);
  }

  /** How many processes are connected to it. @throws StillwireError GUEST_FAILED when it does not answer */
  async peers(): Promise<number> {
    const said = await this.#command('--status');
    return Number(/NUM_PEERS\s*=\s*(\d+)/.exec(said)?.[1] ?? 0);
  }

  /** Asks for a checkpoint and does not wait for it. @throws StillwireError GUEST_FAILED, also while one is under way */
  async checkpoint(): Promise<void> {
    const said = await this.#command('--checkpoint');
    if (!/error|not in running state/i.test(said)) return;
    throw new StillwireError('GUEST_FAILED', `the DMTCP coordinator refused a checkpoint: ${said}`);
  }

  /** Ends it if it is ours. */
  async end(): Promise<void> {
    await this.#process?.kill();
  }
}

function portIn(file: string): number | undefined {
  try {
    const text = readFileSync(file, 'latin1').trim();
    return /^\d+$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined; // not written yet
  }
}
