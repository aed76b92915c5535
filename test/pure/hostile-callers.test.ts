/** Bounds of the daemon against its callers, and of what it writes. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { appendFile, mkdir, open, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { boundFile } from '../../src/daemon/log-bounds.js';
import { open as openRequest } from '../../src/daemon/request.js';
import { ApiServer } from '../../src/daemon/server.js';
import type { StillwireError } from '../../src/errors/index.js';
import { Capture } from '../../src/switch/capture.js';
import { FakeNetwork } from './fake-network.js';

let directory: string;
let socket: string;
let fake: FakeNetwork;
let server: ApiServer;
let faults: StillwireError[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'swhc-'));
  socket = join(directory, 's');
  fake = new FakeNetwork();
  faults = [];
  server = await ApiServer.listen(fake.control(), socket, (error) => faults.push(error));
});

afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** What the server says to these bytes until it closes. */
function say(bytes: string, end = false): Promise<string> {
  return new Promise((resolve) => {
    const client = connect(socket);
    let text = '';
    client.on('error', () => undefined);
    client.on('data', (chunk) => (text += chunk.toString()));
    client.on('close', () => resolve(text));
    client.write(bytes);
    if (end) client.end();
  });
}

const codeOf = (what: Promise<unknown>): Promise<unknown> =>
  what.then(
    () => 'no error',
    (error: unknown) => (error as { code?: string }).code,
  );

async function call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) {
  const response = await openRequest(socket, { method, path, body });
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
}

describe('the socket', () => {
  it('is made for owner and group alone, whatever the umask, and the umask is left as it was', async () => {
    const before = process.umask(0);
    const path = join(directory, 'open');
    try {
      // Nothing changes its mode after it was made: it was never open to others.
      const other = await ApiServer.listen(fake.control(), path);
      expect(statSync(path).mode & 0o777).toBe(0o660);
      expect(process.umask(0)).toBe(0);
      await other.close();
    } finally {
      process.umask(before);
    }
  });
});

describe('a caller', () => {
  it.each(['//', 'http://[', '*', '/%00', '/v1/holds/__proto__/renew?a#b'])(
    'who asks for %s is told that there is no such thing, and nothing is logged',
    async (path) => {
      const answer = await say(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1.1 404 /);
      expect(faults).toEqual([]);
    },
  );

  it('who goes away in the middle of his body fills no log', async () => {
    await say('POST /v1/holds HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{', true);
    await call('GET', '/healthz');
    expect(faults).toEqual([]);
  });

  it('cannot keep others from asking with streams that he leaves open', async () => {
    const { id } = await call('POST', '/v1/checkpoints', {});
    const path = `/v1/operations/${String(id)}/events`;
    const streams = await Promise.all(
      Array.from({ length: 32 }, () => openRequest(socket, { method: 'GET', path })),
    );
    expect(await codeOf(openRequest(socket, { method: 'GET', path }))).toBe('NETWORK_BUSY');
    expect(await call('GET', '/healthz')).toMatchObject({ status: 'ok' });
    streams[0]!.destroy();
    for (let tries = 0; tries < 100; tries++) {
      const again = await codeOf(openRequest(socket, { method: 'GET', path }));
      if (again === 'no error') return;
    }
    throw new Error('a stream that was closed still counts');
  });

  it('finds no place beside 64 that say nothing, and finds it again when one goes', async () => {
    const idle = await Promise.all(
      Array.from({ length: 64 }, async () => {
        const client = connect(socket);
        client.on('error', () => undefined);
        await once(client, 'connect');
        return client;
      }),
    );
    await call('GET', '/healthz').then(
      () => expect.unreachable(),
      () => undefined,
    );
    for (const client of idle) client.destroy();
    await vi.waitUntil(async () => (await codeOf(call('GET', '/healthz'))) === 'no error');
  });

  it('cannot hold a network for more than an hour without renewing', async () => {
    expect(await codeOf(call('POST', '/v1/holds', { leaseMs: 3_600_001 }))).toBe('USAGE');
    expect(await codeOf(call('POST', '/v1/holds', { leaseMs: 3_600_000 }))).toBe('no error');
  });

  it('writes one mark at a time', async () => {
    const control = fake.control();
    const { token } = await control.hold({});
    const both = await Promise.all(['one', 'two'].map((name) => codeOf(control.mark(token, name))));
    expect(both).toEqual(['no error', 'NETWORK_BUSY']);
    expect(await codeOf(control.mark(token, 'three'))).toBe('no error');
  });
});

describe('a capture that nobody reads', () => {
  it('keeps a bounded number of frames, however short they are, and counts the rest', () => {
    const capture = new Capture();
    const runt = new Uint8Array(14);
    let told = 0;
    const batches: number[] = [];
    const take = (): boolean => {
      const batch = capture.batch();
      if (batch === undefined) return false;
      batches.push(batch.frames.length);
      told += batch.frames.length + batch.missed;
      return true;
    };
    for (let n = 0; n < 200_000; n++) {
      capture.take('a', runt);
      if (n % 2000 === 1999) take();
    }
    expect(batches).toHaveLength(64); // under way, and the reader has taken none
    for (let n = 0; n < 64; n++) capture.acknowledge();
    while (take());
    expect(told).toBe(200_000);
    expect(Math.max(...batches)).toBeLessThanOrEqual(1024);
  });
});

describe('a log', () => {
  it('that has grown over its bound begins anew beneath its writer, and its end is kept', async () => {
    const path = join(directory, 'log');
    const writer = await open(path, 'a');
    await writer.write('old '.repeat(100));
    await boundFile({ path, bytes: 1000 });
    expect((await stat(path)).size).toBe(400);
    await writer.write('more '.repeat(200));
    await boundFile({ path, bytes: 1000 });
    await writer.write('new');
    expect(await readFile(path, 'utf8')).toBe('new');
    expect((await readFile(`${path}.1`, 'utf8')).endsWith('more more ')).toBe(true);
    await writer.close();
  });

  it('is not copied through a link that somebody put in the way, and is no link, FIFO or directory itself', async () => {
    const path = join(directory, 'log');
    const target = join(directory, 'target');
    await writeFile(target, 'untouched');
    await symlink(target, `${path}.1`);
    await appendFile(path, 'x'.repeat(100));
    await boundFile({ path, bytes: 10 });
    expect(await readFile(target, 'utf8')).toBe('untouched');
    expect(await readFile(path, 'utf8')).toBe('');

    const [link, fifo, folder] = ['link', 'fifo', 'folder'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    await symlink(target, link);
    execFileSync('mkfifo', [fifo]);
    await mkdir(folder);
    for (const odd of [link, fifo, folder]) await boundFile({ path: odd, bytes: 0 });
    expect(await readFile(target, 'utf8')).toBe('untouched');
  });
});
