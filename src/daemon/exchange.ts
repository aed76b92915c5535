/** The two halves of an HTTP exchange: the body that came, checked; the answer that goes, whole or as a stream. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { StillwireError } from '../errors/index.js';
import type { JsonRoute, StreamReply } from './route.js';

const MAX_BODY_BYTES = 1024 * 1024;

/** The checked body. None at all counts as `{}`. */
export async function readBody(request: IncomingMessage, { body }: JsonRoute): Promise<unknown> {
  if (body === undefined) return undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length <= MAX_BODY_BYTES) chunks.push(chunk);
    }
  } catch (error) {
    // No fault of ours, and nobody reads the answer: a client must not be able to fill the log with it.
    throw new StillwireError('INTERRUPTED', 'the client went away in the middle of the body', {}, error);
  }
  // Read to its end all the same: who stops reading cannot answer. Node's request timeout bounds it.
  if (length > MAX_BODY_BYTES) {
    throw new StillwireError('USAGE', `the body is longer than ${MAX_BODY_BYTES} bytes`);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  let value: unknown;
  try {
    value = text === '' ? {} : JSON.parse(text);
  } catch (error) {
    throw new StillwireError('USAGE', `the body is not JSON: ${(error as Error).message}`);
  }
  const parsed = body.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path, message }) =>
    [path.join('.'), message].filter(Boolean).join(': '),
  );
  throw new StillwireError('USAGE', `the body is wrong: ${faults.join('; ')}`, { faults });
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = `${JSON.stringify(value)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}

export function sendError(response: ServerResponse, status: number, error: StillwireError): void {
  // A body that was not read whole would be taken for the next request.
  response.setHeader('connection', 'close');
  sendJson(response, status, error);
}

export async function sendStream(
  response: ServerResponse,
  status: number,
  contentType: string,
  { chunks }: StreamReply,
  client: AbortSignal,
): Promise<void> {
  response.socket?.setTimeout(0); // silence is no fault of a stream
  response.writeHead(status, { 'content-type': contentType, connection: 'close' });
  response.flushHeaders();
  for await (const chunk of chunks) {
    if (client.aborted) break;
    if (!response.write(chunk)) await once(response, 'drain', { signal: client }).catch(() => undefined);
  }
  response.end();
}
