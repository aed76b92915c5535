/** The daemon's API over a real unix socket, on a network that is not there. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { linesOf } from '../../src/daemon/lines.js';
import { open, type Request } from '../../src/daemon/request.js';
import { routeTable } from '../../src/daemon/routes.js';
import { ApiServer } from '../../src/daemon/server.js';
import { StillwireError } from '../../src/errors/index.js';
import { decode } from '../../src/pcap/index.js';
import { FakeNetwork, REPORT } from './fake-network.js';

let directory: string;
let socket: string;
let fake: FakeNetwork;
let server: ApiServer;
let faults: StillwireError[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'swds-'));
  socket = join(directory, 's');
  fake = new FakeNetwork();
  faults = [];
  server = await ApiServer.listen(fake.control(), socket, (error) => faults.push(error));
});

afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

async function call(method: Request['method'], path: string, body?: unknown) {
  const response = await open(socket, { method, path, body });
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return {
    status: response.statusCode,
    body: JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>,
  };
}

/** Status and error of a request that is refused; `raw` is the whole request. */
function refusal(raw: string): Promise<{ status: number; code: string; message: string }> {
  return new Promise((resolve, reject) => {
    const client = connect(socket);
    let text = '';
    client.on('data', (chunk) => (text += chunk.toString()));
    client.on('error', reject);
    client.on('close', () => {
      const body = JSON.parse(text.split('\r\n\r\n')[1]!) as {
        code: string;
        message: string;
      };
      resolve({ status: Number(text.split(' ')[1]), ...body });
    });
    client.write(raw);
  });
}

const post = (path: string, body: string): string =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

const code = (what: Promise<unknown>): Promise<unknown> =>
  what.then(
    () => 'no error',
    (error: unknown) => (error as { code?: string }).code,
  );

/** Opens the event stream; what it answers resolves at its end. */
async function follow(id: unknown): Promise<{ end: Promise<Record<string, unknown>[]> }> {
  const path = `/v1/operations/${String(id)}/events`;
  return { end: read(await open(socket, { method: 'GET', path })) };
}

const events = async (id: unknown): Promise<Record<string, unknown>[]> => (await follow(id)).end;

async function read(response: AsyncIterable<unknown>): Promise<Record<string, unknown>[]> {
  const seen: Record<string, unknown>[] = [];
  for await (const line of linesOf(response)) seen.push(JSON.parse(line) as Record<string, unknown>);
  return seen;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('questions', () => {
  it('are answered on a socket for owner and group', async () => {
    expect(statSync(socket).mode & 0o777).toBe(0o660);
    expect((await call('GET', '/healthz')).body).toMatchObject({ status: 'ok', network: 'lab' });
    const { status, body } = await call('GET', '/v1/network');
    expect(status).toBe(200);
    expect(body).toMatchObject({ namespace: 'stillwire-lab', ports: [{ port: 'a', held: 0 }] });
  });

  it('that make no sense are refused with a status and a code', async () => {
    expect(await refusal('GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n')).toMatchObject({
      status: 404,
      code: 'USAGE',
    });
    expect(await refusal('DELETE /healthz HTTP/1.1\r\nhost: x\r\n\r\n')).toMatchObject({ status: 404 });
    expect(await refusal(post('/v1/holds', '{'))).toMatchObject({ status: 400, code: 'USAGE' });
    const wrong = await refusal(post('/v1/holds', '{"leaseMs": 1, "lease": 5}'));
    expect(wrong).toMatchObject({ status: 400, code: 'USAGE' });
    expect(wrong.message).toMatch(/leaseMs.*"lease"/s);
    expect(await refusal(post('/v1/holds', `{"x":"${'y'.repeat(1 << 20)}"}`))).toMatchObject({ status: 400 });
    expect(await refusal(post('/v1/holds/nope/renew', '{}'))).toMatchObject({
      status: 404,
      code: 'HOLD_UNKNOWN',
    });
    expect(fake.holds).toEqual([]);
  });

  it('that hit a fault of ours are logged and answered', async () => {
    fake.broken = new TypeError('x is not a function');
    expect(await code(call('GET', '/v1/network'))).toBe('INTERNAL');
    expect(faults.map(({ message }) => message)).toEqual(['x is not a function']);
    fake.broken = undefined;
    expect((await call('GET', '/v1/network')).status).toBe(200);
  });
});

describe('a checkpoint', () => {
  it('is an operation whose events come from the beginning, then live', async () => {
    const { status, body } = await call('POST', '/v1/checkpoints', { name: 'one', requireProof: true });
    expect(status).toBe(202);
    expect(body).toMatchObject({ state: 'running' });
    const [taking] = fake.checkpoints;
    expect(taking!.options).toMatchObject({ name: 'one', directory: '/nowhere', requireProof: true });
    taking!.options.onPhase?.('hold', 0.1);
    const early = await follow(body['id']);
    taking!.options.onPhase?.('drain', 2);
    taking!.settle.resolve(REPORT);
    const expected = [
      { event: 'phase', phase: 'hold', ms: 0.1 },
      { event: 'phase', phase: 'drain', ms: 2 },
      { event: 'done', result: REPORT },
    ];
    expect(await early.end).toEqual(expected);
    expect(await events(body['id'])).toEqual(expected);
    expect((await call('GET', `/v1/operations/${String(body['id'])}`)).body).toMatchObject({ state: 'done' });
    expect(fake.ends).toEqual([]);
  });

  it('gets a name when it is given none, and none that is a path', async () => {
    await call('POST', '/v1/checkpoints');
    expect(fake.checkpoints[0]!.options.name).toMatch(/^\d{4}-\d\d-\d\dT/);
    expect(await code(call('POST', '/v1/checkpoints', { name: '../x' }))).toBe('NAME_INVALID');
  });

  it('can be aborted, and excludes another and a hold meanwhile', async () => {
    const { body } = await call('POST', '/v1/checkpoints', {});
    expect(await code(call('POST', '/v1/checkpoints', {}))).toBe('NETWORK_BUSY');
    expect(await code(call('POST', '/v1/holds', {}))).toBe('NETWORK_BUSY');
    await call('DELETE', `/v1/operations/${String(body['id'])}`);
    expect((await events(body['id'])).at(-1)).toMatchObject({
      event: 'failed',
      error: { code: 'INTERRUPTED' },
    });
    expect((await call('POST', '/v1/checkpoints', {})).status).toBe(202);
  });

  it('with kill ends the network once it is done, and not when it failed', async () => {
    await call('POST', '/v1/checkpoints', { kill: true });
    fake.checkpoints[0]!.settle.reject(new StillwireError('COMMIT_FAILED', 'disk full'));
    await turn();
    expect(fake.ends).toEqual([]);
    const { body } = await call('POST', '/v1/checkpoints', { kill: true });
    fake.checkpoints[1]!.settle.resolve({ ...REPORT, killed: true });
    expect((await events(body['id'])).at(-1)).toMatchObject({ event: 'done', result: { killed: true } });
    expect(fake.ends).toHaveLength(1);
  });

  it('is remembered among the last 32', async () => {
    const ids: unknown[] = [];
    for (let i = 0; i < 34; i++) {
      ids.push((await call('POST', '/v1/checkpoints', { name: `c${i}` })).body['id']);
      fake.checkpoints[i]!.settle.resolve(REPORT);
      await turn();
    }
    expect(await code(call('GET', `/v1/operations/${String(ids[0])}`))).toBe('OPERATION_UNKNOWN');
    expect(await code(call('GET', `/v1/operations/${String(ids[1])}`))).toBe('OPERATION_UNKNOWN');
    expect((await call('GET', `/v1/operations/${String(ids[2])}`)).status).toBe(200);
  });
});

describe('a hold', () => {
  it('whose image could not be written keeps its frames for the network', async () => {
    const { body } = await call('POST', '/v1/holds', {});
    const path = `/v1/holds/${String(body['token'])}/mark`;
    fake.full = new StillwireError('COMMIT_FAILED', 'disk full');
    expect(await code(call('POST', path, { name: 'one' }))).toBe('COMMIT_FAILED');
    expect(fake.holds[0]!.inImage).toBe(false);
    fake.full = undefined;
    expect((await call('POST', path, { name: 'one' })).status).toBe(200);
    expect(fake.holds[0]!.inImage).toBe(true);
  });

  it('is granted to one, renewed, marked and released by its token', async () => {
    const { status, body } = await call('POST', '/v1/holds', {
      leaseMs: 700,
      method: 'quiet',
      unready: 'keep',
    });
    expect(status).toBe(201);
    expect(body).toMatchObject({ leaseMs: 700 });
    expect(fake.holdOptions).toEqual([{ leaseMs: 700, method: 'quiet', unready: 'keep' }]);
    const path = `/v1/holds/${String(body['token'])}`;
    expect(await code(call('POST', '/v1/holds', {}))).toBe('NETWORK_HELD');
    expect(await code(call('POST', '/v1/checkpoints', {}))).toBe('NETWORK_HELD');
    await call('POST', `${path}/renew`, { leaseMs: 900 });
    await call('POST', `${path}/renew`);
    expect(fake.holds[0]!.renewed).toEqual([900, undefined]);
    expect((await call('POST', `${path}/mark`, { name: 'two' })).body).toMatchObject({ name: 'two' });
    expect((await call('DELETE', '/v1/holds/current')).body['releaseMs']).toBeGreaterThan(0);
    expect(fake.holds[0]!.state).toBe('released');
    expect((await call('DELETE', path)).status).toBe(200);
    expect(await code(call('DELETE', '/v1/holds/current'))).toBe('HOLD_UNKNOWN');
  });

  it('that has expired is told so whatever its owner tries', async () => {
    const { body } = await call('POST', '/v1/holds', {});
    const path = `/v1/holds/${String(body['token'])}`;
    fake.holds[0]!.expire();
    expect(await code(call('POST', `${path}/renew`))).toBe('HOLD_EXPIRED');
    expect(await code(call('POST', `${path}/mark`, { name: 'x' }))).toBe('HOLD_EXPIRED');
    expect(await code(call('DELETE', path))).toBe('HOLD_EXPIRED');
    expect((await call('POST', '/v1/holds', {})).status).toBe(201);
  });
});

describe('streams', () => {
  it('capture begins with every port and carries frames and what was missed', async () => {
    const bytes = new Uint8Array(60).fill(7);
    fake.batches = [
      { frames: [{ port: 'b', timeNs: 5n, bytes }], missed: 3 },
      { frames: [{ port: 'a', timeNs: 6n, bytes }], missed: 0 },
    ];
    const response = await open(socket, { method: 'GET', path: '/v1/capture' });
    expect(response.headers['content-type']).toBe('application/vnd.tcpdump.pcap');
    expect(await code(call('GET', '/v1/capture'))).toBe('NETWORK_BUSY');
    const chunks: Buffer[] = [];
    const reading = (async () => {
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    })();
    await server.close(); // the stream ends whole, not cut off
    await reading;
    const { section, packets } = decode(new Uint8Array(Buffer.concat(chunks)));
    expect(section.interfaces.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(packets.map(({ interface: index, dropped }) => [index, dropped])).toEqual([
      [1, 3],
      [0, undefined],
    ]);
  });

  it('of an operation deliver its end although the server closes', async () => {
    const { body } = await call('POST', '/v1/checkpoints', {});
    const following = await follow(body['id']);
    server.refuse();
    fake.checkpoints[0]!.settle.resolve(REPORT);
    await turn();
    await server.close();
    expect((await following.end).at(-1)).toMatchObject({ event: 'done' });
  });
});

it('closing cuts off a client that says nothing', async () => {
  const idle = connect(socket);
  idle.on('error', () => undefined);
  await new Promise((resolve) => idle.once('connect', resolve));
  await server.close(); // or the test runs out of time
  idle.destroy();
});

it('the OpenAPI document has every route, and only objects JSON can carry', async () => {
  const { body } = await call('GET', '/v1/openapi.json');
  const paths = body['paths'] as Record<string, Record<string, unknown>>;
  for (const { path, method } of routeTable()) {
    expect(paths[path.replaceAll(/:(\w+)/g, '{$1}')]).toHaveProperty(method.toLowerCase());
  }
  expect(body['openapi']).toBe('3.1.0');
  expect(JSON.stringify(body)).not.toContain('$schema');
  expect(paths['/v1/holds']!['post']).toMatchObject({
    requestBody: {
      content: { 'application/json': { schema: { properties: { leaseMs: { minimum: 100 } } } } },
    },
  });
});
