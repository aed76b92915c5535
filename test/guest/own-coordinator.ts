/** A coordinator of a user's own, not of the network's. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { portIn } from './dmtcp-lab.js';

export class OwnCoordinator {
  readonly #process: ChildProcess;
  readonly #directory: string;

  private constructor(process: ChildProcess, directory: string) {
    this.#process = process;
    this.#directory = directory;
  }

  /** In the namespace that this thread is in. */
  static async start(options: readonly string[] = []): Promise<OwnCoordinator> {
    const directory = mkdtempSync(join(tmpdir(), 'swc-'));
    const places = ['--port-file', join(directory, 'port'), '--ckptdir', directory, '--tmpdir', directory];
    const words = ['--coord-port', '0', ...options, ...places];
    const coordinator = new OwnCoordinator(spawn('dmtcp_coordinator', words, { stdio: 'ignore' }), directory);
    try {
      await vi.waitFor(() => expect(coordinator.port).toMatch(/^\d+$/), { timeout: 10_000 });
      return coordinator;
    } catch (error) {
      coordinator.end();
      throw error;
    }
  }

  get port(): string {
    return portIn(join(this.#directory, 'port'));
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  end(): void {
    this.#process.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
