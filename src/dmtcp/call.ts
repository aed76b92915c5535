/**
 * One conversation with the plugin of a guest: a connection from its first report (PRESUSPEND, RESTART) to its last
 * answer. The plugin speaks, is answered, and speaks again; it never says two things at once, so whoever does is no
 * plugin and is hung up on.
 *
 * A plugin that is hung up on does what it would do without a daemon: its guest goes on with DMTCP's checkpoint, whose
 * image then belongs to none of ours; at a restart its process ends. So hanging up is always safe.
 */
import type { Socket } from 'node:net';
import { StillwireError } from '../errors/index.js';
import { peerCredentials } from '../sys/pidfd.js';
import { sendDescriptor } from '../sys/fd-passing.js';
import { descriptorOf } from '../guest/qmp-connect.js';
import { answerLine, fault, LineReader, parseReport, type Report } from './lines.js';

export class DmtcpCall {
  readonly #socket: Socket;
  readonly #lines = new LineReader();
  /** Said and not taken yet. */
  #report: Report | undefined;
  #isOurTurn = false;
  #wake: (() => void) | undefined;
  #fault: StillwireError | undefined;
  #over = false;
  /** Resolves when the connection has ended, whoever ended it. Never rejects. */
  readonly ended: Promise<void>;
  /** Process id of the plugin's process as this machine knows it; inside, DMTCP may show it another. */
  readonly pid: number;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.pid = peerCredentials(descriptorOf(socket)).pid;
    this.ended = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('error', () => undefined); // 'close' follows
    socket.once('close', () => {
      this.#over = true;
      this.#wake?.();
    });
  }

  get over(): boolean {
    return this.#over;
  }

  #take(bytes: Buffer): void {
    try {
      for (const line of this.#lines.push(bytes)) {
        if (this.#isOurTurn) throw fault('spoke before it was answered');
        this.#report = parseReport(line);
        this.#isOurTurn = true;
        this.#wake?.();
      }
    } catch (error) {
      this.hangUp(StillwireError.from(error));
    }
  }

  /**
   * The plugin's next report.
   * @param withinMs after which it is hung up on
   * @throws StillwireError GUEST_FAILED when it hung up, or was hung up on, in words that follow the guest's name
   */
  async next(withinMs?: number): Promise<Report> {
    if (withinMs === undefined) return this.#next();
    const impatience = setTimeout(
      () => this.hangUp(fault(`has said nothing for ${withinMs / 1000} s`)),
      withinMs,
    );
    try {
      return await this.#next();
    } finally {
      clearTimeout(impatience);
    }
  }

  async #next(): Promise<Report> {
    while (this.#report === undefined) {
      if (this.#over) throw this.#fault ?? fault('hung up');
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const report = this.#report;
    this.#report = undefined;
    return report;
  }

  /** Answers the last report. A plugin that has hung up is told nothing. */
  answer(word: 'GO' | 'SKIP' | 'REFUSE', values: Readonly<Record<string, string>> = {}): void {
    this.#isOurTurn = false;
    if (!this.#over) this.#socket.write(answerLine(word, values));
  }

  /**
   * Answers with a descriptor, which stays ours too.
   * @throws StillwireError GUEST_FAILED when the plugin is gone
   */
  attach(nic: number, vnetHeaderBytes: number, fd: number): void {
    this.#isOurTurn = false;
    const line = Buffer.from(answerLine('ATTACH', { nic, vnet: vnetHeaderBytes }));
    try {
      sendDescriptor(descriptorOf(this.#socket), line, fd);
    } catch (error) {
      throw new StillwireError('GUEST_FAILED', 'its TAP could not be handed over', { nic }, error);
    }
  }

  /** Ends it from our side once what was answered has been sent. */
  hangUp(why?: StillwireError): void {
    if (why !== undefined) {
      this.#fault ??= why;
      this.#socket.destroy();
    } else this.#socket.end();
  }
}
