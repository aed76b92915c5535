/**
 * A machine without a hypervisor's slowness: the Linux stack of a network namespace, and this process as the hypervisor
 * that carries frames between its card and the TAP of a guest port. It can be stopped, as a guest is.
 */
import { readSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  closeFd,
  createTap,
  enterNamespace,
  namespacePath,
  O_RDONLY,
  openFd,
  setLinkMac,
  setLinkUp,
} from '../../src/sys/index.js';

const VNET = 10;

export class StackMachine {
  readonly #tapFd: number;
  readonly #cardFd: number;
  readonly #buffer = Buffer.alloc(70_000);
  #running: Promise<void> | undefined;
  #stopped = true;
  /** Every frame read from the port's TAP, in order. */
  readonly taken: Buffer[] = [];

  /** @param tapFd the port's TAP; @param namespace where the stack lives: its card there is `eth0`, up */
  constructor(tapFd: number, namespace: string, mac: Buffer) {
    this.#tapFd = tapFd;
    const home = openFd('/proc/thread-self/ns/net', O_RDONLY);
    enterNamespace(namespacePath(namespace));
    try {
      this.#cardFd = createTap('eth0');
      setLinkMac('eth0', mac);
      setLinkUp('eth0', { arp: true });
    } finally {
      enterNamespace(`/proc/self/fd/${home}`);
      closeFd(home);
    }
  }

  get running(): boolean {
    return !this.#stopped;
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#running = this.#run();
  }

  /** Nothing is read or written any more when this has resolved. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** The machine sends a frame that its stack did not make. */
  send(bytes: Buffer): void {
    writeSync(this.#tapFd, Buffer.concat([Buffer.alloc(VNET), bytes]));
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      for (let i = 0; i < 64 && this.#carry(this.#tapFd, this.#cardFd); i++) {
        this.taken.push(Buffer.from(this.#buffer.subarray(VNET, this.#length)));
      }
      for (let i = 0; i < 64 && this.#carry(this.#cardFd, this.#tapFd); i++);
      await nextTurn();
    }
  }

  #length = 0;

  #carry(from: number, to: number): boolean {
    try {
      this.#length = readSync(from, this.#buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false;
      throw error;
    }
    writeSync(to, this.#buffer, 0, this.#length);
    return true;
  }

  async close(): Promise<void> {
    await this.stop();
    closeFd(this.#cardFd);
  }
}
