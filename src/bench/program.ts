/** Programs that the benchmark runs: in a namespace, on chosen processors, and gone when the benchmark is. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { StillwireError } from '../errors/index.js';

const execute = promisify(execFile);
const READY_BOUND_MS = 10_000;

export interface Where {
  /** A name under /run/netns; absent: the caller's. */
  readonly namespace?: string;
  /** As taskset takes it: `0`, `0-1`; absent: all. */
  readonly cpus?: string;
}

/** Before a program that is to end with us, even if we are killed. */
const END_WITH_US = ['setpriv', '--pdeathsig', 'KILL'];

/** The words that run a program there. Each execs the next, so the process keeps its number. */
const words = ({ namespace, cpus }: Where, program: readonly string[]): string[] => [
  ...(namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace]),
  ...(cpus === undefined ? [] : ['taskset', '-c', cpus]),
  ...program,
];

/** Runs a program to its end; what it printed. @throws StillwireError MISSING_PROGRAM, SYSCALL with its own words */
export async function run(where: Where, signal: AbortSignal, ...program: string[]): Promise<string> {
  try {
    const [first = '', ...rest] = [...END_WITH_US, ...words(where, program)];
    return (await execute(first, rest, { signal })).stdout;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw failureOf(program, error as NodeJS.ErrnoException & { stderr?: string });
  }
}

function failureOf(program: readonly string[], error: NodeJS.ErrnoException & { stderr?: string }): Error {
  const said = error.stderr?.trim() ?? '';
  const code =
    error.code === 'ENOENT' || /No such file or directory/.test(said) ? 'MISSING_PROGRAM' : 'SYSCALL';
  const why = said === '' ? error.message : said;
  return new StillwireError(code, `${program.join(' ')}: ${why}`, {}, error);
}

/** Where a program of the system is, or undefined. */
export async function findProgram(name: string): Promise<string | undefined> {
  const found = await execute('sh', ['-c', `command -v ${name}`]).catch(() => undefined);
  return found?.stdout.trim();
}

/** A program that runs until it is ended. */
export class Running {
  readonly #child: ChildProcess;
  readonly #name: string;
  #said = '';
  #errors = '';

  private constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#name = name;
    child.stdout?.on('data', (bytes: Buffer) => (this.#said += bytes.toString()));
    child.stderr?.on(
      'data',
      (bytes: Buffer) => (this.#errors = (this.#errors + bytes.toString()).slice(-2000)),
    );
  }

  /**
   * Starts it, out of reach of the terminal's interrupt: it is ended in its turn. Its stdin stays open.
   * @param ipc with a channel for messages, as a fork has; such a program ends when the channel closes
   */
  static async start(
    where: Where,
    program: readonly string[],
    { ipc = false, env = {} }: { ipc?: boolean; env?: Record<string, string> } = {},
  ): Promise<Running> {
    const [first = '', ...rest] = [...(ipc ? [] : END_WITH_US), ...words(where, program)];
    const child = spawn(first, rest, {
      stdio: ['pipe', 'pipe', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
      detached: true,
      env: { ...process.env, ...env },
    });
    await once(child, 'spawn');
    return new Running(child, program[0] ?? '');
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** For messages. */
  get channel(): ChildProcess {
    return this.#child;
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Why it is not as it should be. */
  failure(what: string): StillwireError {
    return new StillwireError(
      'SYSCALL',
      `${this.#name} ${what}: ${this.#errors.trim() || 'it said nothing'}`,
    );
  }

  /** Waits until it has printed this. @throws StillwireError SYSCALL when it ends before */
  async said(text: string, signal: AbortSignal): Promise<void> {
    await until(
      () => {
        if (this.ended) throw this.failure('has ended');
        return this.#said.includes(text);
      },
      signal,
      () => this.failure(`does not say ${text}`),
    );
  }

  /** Ends it. @param graceMs how long it may take to end by itself once its channel or stdin is closed */
  async end(graceMs = 0): Promise<void> {
    if (this.ended) return;
    const gone = once(this.#child, 'exit');
    if (this.#child.connected) this.#child.disconnect();
    this.#child.stdin?.destroy();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    await gone;
    clearTimeout(timer);
  }
}

/** Looks again and again until it is so. @throws what `late` makes, after ten seconds */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  signal: AbortSignal,
  late: () => Error,
  boundMs = READY_BOUND_MS,
): Promise<void> {
  const end = performance.now() + boundMs;
  while (!(await isSo())) {
    signal.throwIfAborted();
    if (performance.now() > end) throw late();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
