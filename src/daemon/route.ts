/** One row of the route table: what may be asked, what is answered, and who answers it. */
import type { z } from 'zod';
import type { Control } from './control.js';

export type Method = 'GET' | 'POST' | 'DELETE';

/** What a stream carries; its length is never known beforehand. */
export interface StreamReply {
  readonly chunks: AsyncIterable<string | Uint8Array>;
}

interface Described {
  readonly method: Method;
  /** `:name` stands for one part of the path. */
  readonly path: string;
  readonly summary: string;
  /** Of the answer when all is well. */
  readonly status: 200 | 201 | 202;
}

export interface Asked<Body> {
  readonly control: Control;
  /** A part of the path that the route calls `:name`. */
  readonly param: (name: string) => string;
  readonly body: Body;
  /** Aborted when the client is gone or the daemon ends. */
  readonly gone: AbortSignal;
}

export interface JsonRoute extends Described {
  readonly body?: z.ZodType;
  readonly answer: z.ZodType;
  readonly handle: (asked: Asked<unknown>) => unknown;
}

export interface StreamRoute extends Described {
  readonly contentType: string;
  /** One line, or nothing when it is not JSON. */
  readonly line?: z.ZodType;
  readonly stream: (asked: Asked<unknown>) => StreamReply;
}

export type Route = JsonRoute | StreamRoute;

/** Ties the types of body and answer to their schemas; a body is required exactly when a schema is given. */
export function json<A extends z.ZodType, B extends z.ZodType = z.ZodUndefined>(
  route: Described & {
    readonly body?: B;
    readonly answer: A;
    readonly handle: (asked: Asked<z.output<B>>) => z.output<A> | Promise<z.output<A>>;
  },
): JsonRoute {
  // The server parses the body by this route's own schema before it calls `handle`.
  return route as unknown as JsonRoute;
}
