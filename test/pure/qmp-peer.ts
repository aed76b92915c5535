/** A peer that speaks QMP by a script, in QEMU's place. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QmpClient } from '../../src/guest/qmp.js';

export interface Command {
  readonly execute: string;
  readonly arguments: Record<string, unknown>;
  readonly id: number;
}

export const GREETING = { QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 } }, capabilities: [] } };

/** What the peer does with a command; what it returns is written, an object as a line of JSON. */
export type Script = (command: Command, peer: QmpPeer) => unknown;

export class QmpPeer {
  readonly path: string;
  readonly received: Command[] = [];
  readonly #directory: string;
  readonly #server: Server;
  #socket: Socket | undefined;

  /** Listens on a socket of its own, and greets whoever connects; with '' it says nothing. */
  static async listen(script: Script, greeting: unknown = GREETING): Promise<QmpPeer> {
    const peer = new QmpPeer(await mkdtemp(join(tmpdir(), 'qmp-')), script, greeting);
    await peer.open();
    return peer;
  }

  private constructor(directory: string, script: Script, greeting: unknown) {
    this.#directory = directory;
    this.path = join(directory, 'qmp');
    this.#server = createServer((socket) => {
      this.#socket = socket;
      socket.on('error', () => undefined);
      this.write(greeting);
      let rest = '';
      socket.on('data', (chunk) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop()!;
        for (const line of lines) this.#take(JSON.parse(line) as Command, script);
      });
    });
  }

  #take(command: Command, script: Script): void {
    this.received.push(command);
    if (command.execute === 'qmp_capabilities') this.write({ return: {}, id: command.id });
    else {
      const answer = script(command, this);
      if (answer !== undefined) this.write(answer);
    }
  }

  open(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(this.path, resolve));
  }

  write(what: unknown): void {
    this.#socket?.write(
      typeof what === 'string' || Buffer.isBuffer(what) ? what : `${JSON.stringify(what)}\r\n`,
    );
  }

  /** Stops reading, so that the client's writes back up. */
  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  hangUp(): void {
    this.#socket?.destroy();
  }

  client(timeoutMs = 2000): Promise<QmpClient> {
    return QmpClient.connect(this.path, { guest: 'anna', timeoutMs });
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await rm(this.#directory, { recursive: true, force: true });
  }
}
