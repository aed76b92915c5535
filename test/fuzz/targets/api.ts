/**
 * The daemon's server over its socket: requests of any content, whole and as bytes. Every connection is answered or
 * closed, nothing is a fault of our own, and the server answers an honest question afterwards.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { ApiServer } from '../../../src/daemon/server.js';
import { routeTable } from '../../../src/daemon/routes.js';
import type { StillwireError } from '../../../src/errors/index.js';
import { FakeNetwork, REPORT } from '../../pure/fake-network.js';
import { edits, evilValue, jsonEdits, spoilBytes, spoilJson } from '../spoil.js';
import { demandCleanPrototypes, target, wrong } from '../target.js';

const QUIET_MS = 20;
const ANSWER_MS = 10_000;
const MOST_ANSWERED = 8 * 2 ** 20;

const BODIES: readonly unknown[] = [
  {},
  { name: 'one', method: 'count', requireProof: true, kill: false },
  { leaseMs: 1000, method: 'auto', unready: 'keep', bounds: { drainMs: 10, lingerMs: 1, quietMs: 5 } },
  { name: 'mark' },
];
const PATHS = [
  ...new Set(routeTable().map(({ path }) => path)),
  '/v1/openapi.json',
  '//',
  '/v1/operations/__proto__',
  '/v1/holds/current',
  '/v1/holds/constructor/mark',
  'http://[',
  '*',
  '/%00%ff',
  '/../../etc/passwd',
  '?',
  '/v1/network?a=b#c',
  `/${'x'.repeat(20_000)}`,
];

const body = fc.oneof(
  fc.record({ base: fc.constantFrom(...BODIES), changes: jsonEdits }).map(({ base, changes }) => {
    return JSON.stringify(spoilJson(base, changes));
  }),
  fc.constantFrom(...BODIES).map((value) => JSON.stringify(value)),
  evilValue.map((value) => JSON.stringify(value)),
  fc.constantFrom('{"__proto__":{"name":"x"},"name":"y"}', '[', '{"a":', '\u0000', '['.repeat(100_000)),
  fc.constantFrom(`{"name":"${'x'.repeat(2 ** 20 - 20)}"}`, `{"name":"${'x'.repeat(2 ** 20)}"}`),
);
const header = fc.constantFrom(
  'transfer-encoding: chunked',
  'content-length: 5',
  'content-length: -1',
  'content-length: 99999999999999999999',
  'expect: 100-continue',
  'expect: nonsense',
  'upgrade: websocket\r\nconnection: upgrade',
  'connection: keep-alive',
  'host: a\r\nhost: b',
  `x: ${'y'.repeat(20_000)}`,
  ' folded: x',
  '__proto__: x',
);
const request = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'DELETE', 'PUT', 'HEAD', 'CONNECT', 'OPTIONS', 'get', 'M-SEARCH'),
    path: fc.constantFrom(...PATHS),
    headers: fc.array(header, { maxLength: 2 }),
    text: body,
    honest: fc.boolean(),
  })
  .map(({ method, path, headers, text, honest }) => {
    const length = `content-length: ${Buffer.byteLength(text)}`;
    const head = [`${method} ${path} HTTP/1.1`, 'host: x', ...(honest ? [length] : [length, ...headers])];
    return Buffer.from(`${head.join('\r\n')}\r\n\r\n${text}`);
  });

const input = fc.record({
  requests: fc.array(request, { minLength: 1, maxLength: 3 }),
  changes: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: edits }),
  /** Where the bytes are torn in two. */
  torn: fc.nat(0xffff),
  cutOff: fc.boolean(),
});

interface Said {
  readonly answer: Buffer;
  /** The server ended it. */
  readonly closed: boolean;
}

/** Sends the bytes; resolves with what was answered when the server closes, or says no more. */
function converse(
  socket: string,
  bytes: Buffer,
  torn = 0,
  cutOff = false,
  answerMs = QUIET_MS,
): Promise<Said> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let closed = false;
    let length = 0;
    const client = connect(socket);
    let quiet: NodeJS.Timeout | undefined;
    const end = (): void => {
      clearTimeout(quiet);
      client.destroy();
      resolve({ answer: Buffer.concat(chunks), closed });
    };
    const rest = (): void => {
      clearTimeout(quiet);
      quiet = setTimeout(end, length === 0 ? answerMs : QUIET_MS); // a stream, or one that waits for the rest: closed by us, as a client may
    };
    client.on('error', () => undefined);
    client.on('close', () => {
      closed = true;
      end();
    });
    client.on('data', (chunk) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MOST_ANSWERED) end();
      else rest();
    });
    const at = torn % (bytes.length + 1);
    client.write(bytes.subarray(0, at));
    setImmediate(() => {
      client.write(bytes.subarray(at));
      if (cutOff) client.end();
      rest();
    });
  });
}

export default target(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'swf-'));
  const socket = join(directory, 's');
  const fake = new FakeNetwork();
  fake.batches = [{ frames: [{ port: 'a', timeNs: 1n, bytes: new Uint8Array(60) }], missed: 0 }];
  const faults: StillwireError[] = [];
  const server = await ApiServer.listen(fake.control(), socket, (error) => faults.push(error));
  const hello = Buffer.from('GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  return {
    inputs: input,
    async check({ requests, changes, torn, cutOff }) {
      const whole = changes.length === 0 && !cutOff;
      const bytes = spoilBytes(Buffer.concat(requests), changes);
      const { answer, closed } = await converse(socket, bytes, torn, cutOff, whole ? ANSWER_MS : QUIET_MS);
      if (answer.length > MOST_ANSWERED) wrong(`an answer of more than ${MOST_ANSWERED} bytes`);
      if (whole && answer.length === 0 && !closed) wrong('a whole request was neither answered nor closed');
      if (answer.length > 0 && !answer.toString('latin1', 0, 9).startsWith('HTTP/1.1 ')) wrong('not HTTP');
      if (faults.length > 0) {
        const [fault] = faults.splice(0);
        throw new Error('a fault of our own', { cause: fault });
      }
      for (const checkpoint of fake.checkpoints.splice(0)) checkpoint.settle.resolve(REPORT);
      fake.current?.expire();
      fake.holds.splice(0);
      fake.holdOptions.splice(0);
      fake.ends.splice(0);
      const { answer: again } = await converse(socket, hello, 0, false, ANSWER_MS);
      if (!again.includes('"status":"ok"')) wrong(`not well afterwards: ${again.toString('latin1')}`);
      demandCleanPrototypes();
    },
    async close() {
      await server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
});
