/** HTTP to a daemon's unix socket, one connection a request. */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { StillwireError } from '../errors/index.js';
import type { Method } from './route.js';

/** No daemon answers with more; a stream is not limited. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface Request {
  readonly method: Method;
  readonly path: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

const unreachable = (socket: string, error: unknown): StillwireError => {
  const { code, message } = error as NodeJS.ErrnoException;
  const why =
    code === 'ENOENT' ? 'it is starting or ending' : code === 'EACCES' ? 'permission denied' : message;
  return new StillwireError('DAEMON_UNREACHABLE', `no answer from ${socket}: ${why}`, { socket }, error);
};

/**
 * Sends a request and resolves with the answer's head.
 * @throws StillwireError DAEMON_UNREACHABLE; what the daemon refused with; the signal's reason
 */
export async function open(socket: string, asked: Request): Promise<IncomingMessage> {
  const { method, path, body, signal } = asked;
  signal?.throwIfAborted();
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers =
    text === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  const request = httpRequest({
    socketPath: socket,
    method,
    path,
    headers,
    agent: false,
    ...(signal === undefined ? {} : { signal }),
  });
  request.end(text);
  let response: IncomingMessage;
  try {
    [response] = (await once(request, 'response')) as [IncomingMessage];
  } catch (error) {
    signal?.throwIfAborted();
    throw unreachable(socket, error);
  }
  if (response.statusCode !== undefined && response.statusCode < 300) return response;
  throw StillwireError.fromJSON(await readJson(socket, response, signal));
}

async function readJson(
  socket: string,
  response: IncomingMessage,
  signal: AbortSignal | undefined,
): Promise<object> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) throw new Error('its answer has no end');
      chunks.push(chunk);
    }
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as object;
  } catch (error) {
    signal?.throwIfAborted();
    throw unreachable(socket, error);
  }
}

/** Checks what a daemon said by its schema. @throws StillwireError INTERNAL when another version says it otherwise */
export function understand<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join('.') ?? '';
  const words = `the daemon's answer is not understood (${where}: ${issue?.message ?? ''}); is it of this version?`;
  throw new StillwireError('INTERNAL', words);
}

/** Asks and waits for the whole answer. @throws as {@link open} and {@link understand} */
export async function ask<S extends z.ZodType>(
  socket: string,
  asked: Request,
  answer: S,
): Promise<z.output<S>> {
  return understand(answer, await readJson(socket, await open(socket, asked), asked.signal));
}
