/**
 * sha256 of an image's files, in a worker thread: guests' states are gigabytes, and the thread that calls us keeps
 * leases and connections alive meanwhile.
 *
 * The worker's program is a text, so that it starts alike from TypeScript sources (Node 20 runs no `.ts` worker)
 * and from the build. It opens without following links and without waiting for the other end of a FIFO.
 */
import { Worker } from 'node:worker_threads';

export interface FileDigest {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface UnreadFile {
  readonly path: string;
  /** The system's words. */
  readonly error: string;
}

const PROGRAM = `
const { createHash } = require('node:crypto');
const { closeSync, constants, fstatSync, fsyncSync, openSync, readSync } = require('node:fs');
const { join } = require('node:path');
const { parentPort, workerData } = require('node:worker_threads');
const { directory, paths, durable, open } = workerData;
const chunk = Buffer.allocUnsafe(1 << 20);

function digest(path) {
  const given = open.get(path);
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const fd = given ?? openSync(join(directory, path), flags);
  try {
    if (!fstatSync(fd).isFile()) throw new Error('not a regular file');
    const hash = createHash('sha256');
    let bytes = 0;
    for (let got; (got = readSync(fd, chunk, 0, chunk.length, bytes)) > 0; bytes += got) {
      hash.update(got === chunk.length ? chunk : chunk.subarray(0, got));
    }
    if (durable) fsyncSync(fd);
    return { path, bytes, sha256: hash.digest('hex') };
  } finally {
    if (given === undefined) closeSync(fd);
  }
}

parentPort.postMessage(paths.map((path) => {
  try {
    return digest(path);
  } catch (error) {
    return { path, error: error.message };
  }
}));
`;

/**
 * Hashes files below `directory`; one answer per path, in the same order.
 * @param options.durable also fsync each file: what was hashed is what will be found after a power cut
 * @param options.open descriptors, by path, of files to be read through them; they stay open
 */
export function digestFiles(
  directory: string,
  paths: readonly string[],
  options: { readonly durable: boolean; readonly open?: ReadonlyMap<string, number> },
): Promise<(FileDigest | UnreadFile)[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(PROGRAM, {
      eval: true,
      execArgv: [],
      workerData: { directory, paths, durable: options.durable, open: options.open ?? new Map() },
    });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the hashing thread ended without an answer')));
  });
}
