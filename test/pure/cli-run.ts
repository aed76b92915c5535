/** Runs command lines in this process, output collected, with a daemon room of the test's own. */
import { Writable } from 'node:stream';
import { run } from '../../src/cli/run.js';
import type { Daemon } from '../../src/cli/session.js';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as it was written. */
  readonly bytes: Buffer;
}

class Collector extends Writable {
  readonly chunks: Buffer[] = [];

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    done();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

const noDaemon = (): Promise<Daemon> => Promise.reject(new Error('this test has no daemon'));

export async function stillwire(args: readonly string[], daemon?: Partial<Daemon>): Promise<Outcome> {
  const stdout = new Collector();
  const stderr = new Collector();
  const loadDaemon = daemon === undefined ? noDaemon : () => Promise.resolve(daemon as Daemon);
  const code = await run(args, { stdout, stderr, loadDaemon });
  return { code, stdout: stdout.bytes.toString(), stderr: stderr.bytes.toString(), bytes: stdout.bytes };
}

/** The one document on stdout; fails when there is more or less than one line. */
export function documentOf({ stdout }: Outcome): Record<string, unknown> {
  const lines = stdout.split('\n');
  if (lines.length !== 2 || lines[1] !== '') throw new Error(`not one line: ${stdout}`);
  return JSON.parse(lines[0]!) as Record<string, unknown>;
}

/** The error on stderr. */
export function errorOf({ stderr }: Outcome): {
  code: string;
  message: string;
  next: string;
  details: object;
} {
  return (JSON.parse(stderr) as { error: ReturnType<typeof errorOf> }).error;
}
