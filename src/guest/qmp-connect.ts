/** Reaching a QMP socket that QEMU may not have made yet. */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { StillwireError } from '../errors/index.js';

/** How long to wait before the next try. QEMU makes its socket some 50 ms after it was started. */
const RETRY_MS = 4;

/** The socket is not there yet, or nobody listens on it yet. */
const NOT_YET: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN']);

function attempt(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      resolve(socket);
    });
  });
}

/**
 * Connects to the unix socket at `path`, trying again until somebody listens there or `signal` aborts.
 * @throws the signal's reason; StillwireError GUEST_FAILED for any other reason a socket cannot be connected
 */
export async function connectSocket(path: string, who: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await attempt(path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (!NOT_YET.has(code)) {
        throw new StillwireError('GUEST_FAILED', `guest ${who}: no QMP: ${message}`, { guest: who }, error);
      }
    }
    await delay(RETRY_MS);
  }
}

/**
 * The descriptor beneath a connected socket, to send a descriptor over it. Node has no public way to ask for it;
 * `_handle.fd` has been there since its first versions, and is looked at nowhere else. A test holds every Node
 * version we support to it.
 */
export function descriptorOf(socket: Socket): number {
  const handle = (socket as unknown as { readonly _handle?: { readonly fd?: unknown } | null })._handle;
  const fd = handle?.fd;
  if (typeof fd !== 'number' || fd < 0) throw new StillwireError('INTERNAL', 'a socket without a descriptor');
  return fd;
}
