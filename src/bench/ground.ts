/**
 * What a run of the benchmark makes, and how it is unmade: namespaces, processes, a directory. All of it is removed in
 * reverse order, whatever happened; a run that was killed leaves names that tell its process, and the next run removes them.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { run, Running, type Where } from './program.js';

const execute = promisify(execFile);
const PREFIX = 'swbench-';
/** Networks of Stillwire have their own prefix before it. */
const OURS = /^(?:stillwire-)?swbench-(\d+)-/;

export class Ground {
  /** Removed at the end. */
  readonly directory: string;
  /** Aborted when the run is to stop. */
  readonly signal: AbortSignal;
  readonly #undo: (() => Promise<unknown>)[] = [];

  private constructor(directory: string, signal: AbortSignal) {
    this.directory = directory;
    this.signal = signal;
  }

  static async open(signal: AbortSignal): Promise<Ground> {
    await removeLeft();
    const ground = new Ground(await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`)), signal);
    ground.defer(() => rm(ground.directory, { recursive: true, force: true }));
    return ground;
  }

  /** A name that no other run has. */
  name(role: string): string {
    return `${PREFIX}${process.pid}-${role}`;
  }

  /** To be done at the end, before what was deferred earlier. */
  defer(undo: () => Promise<unknown>): void {
    this.#undo.push(undo);
  }

  /** Makes a namespace without IPv6, whose chatter would be counted as traffic. */
  async namespace(role: string): Promise<string> {
    const name = this.name(role);
    this.signal.throwIfAborted();
    await execute('ip', ['netns', 'add', name]); // to its end, or nobody knows whether it is there
    this.removeLater(name);
    const silent = ['all', 'default'].map((scope) => `echo 1 >/proc/sys/net/ipv6/conf/${scope}/disable_ipv6`);
    await this.run(
      { namespace: name },
      'sh',
      '-c',
      `[ ! -e /proc/sys/net/ipv6 ] || { ${silent.join('; ')}; }`,
    );
    await this.ip('-n', name, 'link', 'set', 'lo', 'up');
    return name;
  }

  /** Removes a namespace at the end, if it is there then. */
  removeLater(name: string): void {
    this.defer(async () => {
      if (existsSync(`/run/netns/${name}`)) await execute('ip', ['netns', 'delete', name]);
    });
  }

  /** Starts a program that lives as long as the run. */
  async start(
    where: Where,
    program: readonly string[],
    { graceMs = 0, ...options }: { graceMs?: number; ipc?: boolean; env?: Record<string, string> } = {},
  ): Promise<Running> {
    const running = await Running.start(where, program, options);
    this.defer(() => running.end(graceMs));
    return running;
  }

  run(where: Where, ...program: string[]): Promise<string> {
    return run(where, this.signal, ...program);
  }

  ip(...args: string[]): Promise<string> {
    return this.run({}, 'ip', ...args);
  }

  async close(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) {
      await undo().catch((error: unknown) => {
        process.stderr.write(`bench: clean-up: ${(error as Error).message}\n`);
      });
    }
  }
}

/** Namespaces and directories of runs whose process is gone. */
async function removeLeft(): Promise<void> {
  const isLeft = (name: string): boolean => {
    const pid = OURS.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  const namespaces = await readdir('/run/netns').catch(() => []);
  for (const name of namespaces.filter(isLeft)) await execute('ip', ['netns', 'delete', name]);
  const directories = await readdir(tmpdir());
  for (const name of directories.filter(isLeft)) await rm(join(tmpdir(), name), { recursive: true });
}
