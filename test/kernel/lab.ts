/** Namespaces and programs for one test file, all removed at its end whatever happened. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ip = (...args: string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });

export interface Running {
  /** Resolves when the program has said "ready". */
  readonly ready: Promise<void>;
  /** Its last line as JSON, when it has ended. */
  readonly result: Promise<Record<string, number | string>>;
}

export class Lab {
  readonly #prefix: string;
  readonly #namespaces: string[] = [];
  readonly #children = new Set<ChildProcess>();

  constructor(name: string) {
    this.#prefix = `swt-${name}-${process.pid}`;
  }

  /** A network name of this file's own. */
  network(suffix = ''): string {
    return `${this.#prefix}${suffix}`;
  }

  addNamespace(suffix: string): string {
    const name = `${this.#prefix}-${suffix}`;
    ip('netns', 'add', name);
    this.#namespaces.push(name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
    return name;
  }

  removeNamespace(name: string): void {
    ip('netns', 'delete', name);
    this.#namespaces.splice(this.#namespaces.indexOf(name), 1);
  }

  /** Starts a program of test/kernel/programs in a namespace. */
  start(namespace: string, program: string, ...args: (string | number)[]): Running {
    const path = fileURLToPath(new URL(`programs/${program}`, import.meta.url));
    const words = ['netns', 'exec', namespace, process.execPath, path, ...args.map(String)];
    const child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.add(child);
    let text = '';
    let onReady = (): void => undefined;
    const ready = new Promise<void>((resolve) => (onReady = resolve));
    const result = new Promise<Record<string, number | string>>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        if (text.includes('ready')) onReady();
      });
      child.on('close', (code) => {
        this.#children.delete(child);
        const last = text.trim().split('\n').at(-1) ?? '';
        if (last.startsWith('{')) resolve(JSON.parse(last) as Record<string, number | string>);
        else reject(new Error(`${program} ended with ${code} and said ${JSON.stringify(text)}`));
      });
    });
    result.catch(() => undefined); // a test that failed before does not ask for it
    return { ready, result };
  }

  /** Ends what still runs and removes every namespace. */
  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const name of this.#namespaces.splice(0)) ip('netns', 'delete', name);
  }
}

/** What the process has open, without what comes and goes by itself. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, 'N')];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
}
