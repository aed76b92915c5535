/**
 * The daemon's HTTP server on its unix socket.
 *
 * Goal: small requests from local, trusted clients, and two kinds of streams; a client that stalls or vanishes harms
 * nobody. Bounds: 16 KiB of headers within 5 s, 1 MiB of body within 10 s, 64 connections, of which 32 may be streams,
 * 60 s of silence (streams excepted), 32 KiB of unread stream before the source is made to wait.
 * End: no new connections; capture streams end, operation streams run out, whoever is left after a moment is cut off.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { ERRORS, StillwireError, type ExitName } from '../errors/index.js';
import type { Control } from './control.js';
import { openApiDocument } from './openapi.js';
import { readBody, sendError, sendJson, sendStream } from './exchange.js';
import type { Asked, Route } from './route.js';
import { routeTable } from './routes.js';

const CLOSE_GRACE_MS = 1_000;
/** Streams last as long as their clients like: some connections are kept for questions. */
const MAX_STREAMS = 32;
/** Leaves owner and group to read and write. */
const SOCKET_UMASK = 0o117;

const STATUS: Readonly<Record<ExitName, number>> = {
  ok: 200,
  usage: 400,
  notFound: 404,
  conflict: 409,
  imageInvalid: 422,
  failed: 500,
  unreachable: 503,
  timedOut: 504,
  interrupted: 503,
};

interface Match {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

export class ApiServer {
  readonly #control: Control;
  readonly #routes = routeTable();
  readonly #server: Server;
  readonly #closing = new AbortController();
  #streams = 0;
  #closed: Promise<unknown> | undefined;
  readonly #onError: (error: StillwireError) => void;

  private constructor(control: Control, onError: (error: StillwireError) => void) {
    this.#control = control;
    this.#onError = onError;
    const limits = {
      headersTimeout: 5_000,
      requestTimeout: 10_000,
      connectionsCheckingInterval: 2_000,
      maxHeaderSize: 16 * 1024,
    };
    this.#server = createServer(limits, (request, response) => void this.#serve(request, response));
    this.#server.maxConnections = 64;
    this.#server.timeout = 60_000;
  }

  /**
   * Listens on the unix socket `path`, mode 0660.
   * @param onError told of faults of our own (INTERNAL), for the log
   */
  static async listen(
    control: Control,
    path: string,
    onError: (error: StillwireError) => void = () => undefined,
  ): Promise<ApiServer> {
    const api = new ApiServer(control, onError);
    const listening = once(api.#server, 'listening');
    const umask = process.umask(SOCKET_UMASK); // the socket is made within listen(): it is never open to others
    try {
      api.#server.listen(path);
    } finally {
      process.umask(umask);
    }
    await listening;
    return api;
  }

  /** No new connections from now on, and no socket: a client finds nobody. */
  refuse(): void {
    this.#closed ??= new Promise((resolve) => this.#server.close(resolve));
  }

  /** Ends the streams and resolves when the last client is gone, or cut off. */
  async close(): Promise<void> {
    this.refuse();
    this.#closing.abort();
    const grace = setTimeout(() => this.#server.closeAllConnections(), CLOSE_GRACE_MS);
    await this.#closed;
    clearTimeout(grace);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response);
    } catch (thrown) {
      const error = StillwireError.from(thrown);
      if (error.code === 'INTERNAL') this.#onError(error);
      if (response.headersSent) response.destroy();
      else sendError(response, STATUS[ERRORS[error.code].exit], error);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // No URL is made of it: one that cannot be parsed would be a fault of ours, and no route has anything but a path.
    const [pathname = '/'] = (request.url ?? '/').split(/[?#]/, 1);
    if (request.method === 'GET' && pathname === '/v1/openapi.json') {
      sendJson(response, 200, openApiDocument(this.#routes));
      return;
    }
    const match = this.#match(request.method ?? '', pathname);
    if (match === undefined) {
      const words = `no route ${request.method ?? ''} ${pathname}`;
      sendError(response, 404, new StillwireError('USAGE', words));
      return;
    }
    const { route, params } = match;
    const client = new AbortController();
    response.once('close', () => client.abort());
    const asked: Asked<unknown> = {
      control: this.#control,
      param: (name) => params[name] ?? '',
      body: undefined,
      gone: AbortSignal.any([client.signal, this.#closing.signal]),
    };
    if ('stream' in route) {
      if (this.#streams >= MAX_STREAMS) {
        throw new StillwireError('NETWORK_BUSY', `${MAX_STREAMS} streams are open already`);
      }
      this.#streams++;
      try {
        await sendStream(response, route.status, route.contentType, route.stream(asked), client.signal);
      } finally {
        this.#streams--;
      }
      return;
    }
    const body = await readBody(request, route);
    sendJson(response, route.status, await route.handle({ ...asked, body }));
  }

  #match(method: string, pathname: string): Match | undefined {
    const parts = pathname.split('/');
    for (const route of this.#routes) {
      const pattern = route.path.split('/');
      if (route.method !== method || pattern.length !== parts.length) continue;
      if (!pattern.every((part, i) => part.startsWith(':') || part === parts[i])) continue;
      const params = pattern.flatMap((part, i) => (part.startsWith(':') ? [[part.slice(1), parts[i]!]] : []));
      return { route, params: Object.fromEntries(params) as Record<string, string> };
    }
    return undefined;
  }
}
