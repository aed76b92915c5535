/**
 * Where the plugins of a network's guests report: a unix socket that only its owner can reach. It hands each
 * conversation, once it is known what it is about and whose it is, to who attends to that guest; strangers it refuses.
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { StillwireError } from '../errors/index.js';
import { DmtcpCall } from './call.js';
import { fault, PROTOCOL_VERSION, type Report, type ReportOf } from './lines.js';

/** sun_path of unix(7), less the final zero. */
const MAX_SOCKET_PATH_BYTES = 107;
/** Only the owner connects: guests run as whom we do. */
const SOCKET_UMASK = 0o177;
/** How long a caller may take to say who it is. */
const FIRST_WORD_MS = 5_000;
/** Callers at a time that have not said who they are. */
const MAX_CALLERS = 2048;

export type FirstReport = ReportOf<'PRESUSPEND' | 'RESTART'>;
/** Takes a conversation over, or says why it will not. */
export type Attendant = (call: DmtcpCall, report: FirstReport) => string | undefined;

const isFirst = (report: Report): report is FirstReport =>
  report.word === 'PRESUSPEND' || report.word === 'RESTART';

export class DmtcpDesk {
  readonly path: string;
  readonly #server: Server;
  readonly #attendants = new Map<string, Attendant>();
  readonly #sockets = new Set<Socket>();

  private constructor(path: string) {
    this.path = path;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      void this.#receive(socket);
    });
    this.#server.maxConnections = MAX_CALLERS;
  }

  /** @throws StillwireError PATH_TOO_LONG; GUEST_FAILED when the socket cannot be made */
  static async open(path: string): Promise<DmtcpDesk> {
    const bytes = Buffer.byteLength(path);
    if (bytes > MAX_SOCKET_PATH_BYTES) {
      const words = `${path} is ${bytes} bytes long, a socket takes ${MAX_SOCKET_PATH_BYTES}`;
      throw new StillwireError('PATH_TOO_LONG', words, { path });
    }
    const desk = new DmtcpDesk(path);
    rmSync(path, { force: true });
    const listening = once(desk.#server, 'listening');
    const umask = process.umask(SOCKET_UMASK); // the socket is made within listen(): it is never open to others
    try {
      desk.#server.listen(path);
    } finally {
      process.umask(umask);
    }
    try {
      await listening;
    } catch (error) {
      throw new StillwireError('GUEST_FAILED', `${path}: ${(error as Error).message}`, { path }, error);
    }
    return desk;
  }

  /** From now on conversations about this guest are `attendant`'s. */
  attend(guest: string, attendant: Attendant): void {
    this.#attendants.set(guest, attendant);
  }

  leave(guest: string): void {
    this.#attendants.delete(guest);
  }

  async #receive(socket: Socket): Promise<void> {
    let call: DmtcpCall;
    try {
      call = new DmtcpCall(socket);
    } catch {
      socket.destroy(); // gone before it was looked at
      return;
    }
    const impatience = setTimeout(() => call.hangUp(fault('said nothing')), FIRST_WORD_MS);
    try {
      const report = await call.next();
      const no = this.#judge(call, report);
      if (no === undefined) return;
      call.answer('REFUSE', { reason: no });
      call.hangUp();
    } catch {
      call.hangUp(); // it is over already, or nobody we know
    } finally {
      clearTimeout(impatience);
    }
  }

  /** Why a conversation that begins so is refused; undefined when somebody has taken it over. */
  #judge(call: DmtcpCall, report: Report): string | undefined {
    if (!isFirst(report)) return `${report.word} comes after PRESUSPEND`;
    const { version, guest } = report;
    if (version !== PROTOCOL_VERSION) {
      return `the plugin speaks version ${version} of the protocol, this daemon ${PROTOCOL_VERSION}`;
    }
    const attendant = this.#attendants.get(guest);
    if (attendant === undefined) return `no guest ${guest} of this network runs under DMTCP`;
    return attendant(call, report);
  }

  /** Hangs up on everybody and removes the socket. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    rmSync(this.path, { force: true });
  }
}
