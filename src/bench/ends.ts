/**
 * The two ends of what is measured: kernel stacks in namespaces of their own. Whoever carries frames between them puts a
 * device into each, eth0 (and eth1, … where there are several pairs); `furnish` does the rest, the same for everybody.
 */
import { readFileSync } from 'node:fs';
import type { Ground } from './ground.js';
import { StillwireError } from '../errors/index.js';
import { Running, until } from './program.js';
import { framesReceived } from './switch-orders.js';

export const MTU = 1500;
/** A flood ends when it is told to; this is for when nobody does. */
const FLOOD_BOUND_MS = 600_000;

/** Both ends of pair number `i`. */
const addressOf = (i: number, end: 0 | 1): string => `10.${100 + i}.0.${end + 1}`;

export class Ends {
  readonly sender: string;
  readonly receiver: string;
  readonly pairs: number;
  /** What the sender's device may leave to the device: checksums, segmentation. */
  offloads: readonly string[] = [];
  readonly #ground: Ground;
  readonly #traffic: string;
  #server: Running | undefined;

  private constructor(ground: Ground, traffic: string, names: [string, string], pairs: number) {
    this.#ground = ground;
    this.#traffic = traffic;
    [this.sender, this.receiver] = names;
    this.pairs = pairs;
  }

  /** @param traffic the program of bench/traffic.c */
  static async make(ground: Ground, traffic: string, role: string, pairs = 1): Promise<Ends> {
    const names: [string, string] = [
      await ground.namespace(`${role}-a`),
      await ground.namespace(`${role}-b`),
    ];
    return new Ends(ground, traffic, names, pairs);
  }

  get both(): readonly [string, string] {
    return [this.sender, this.receiver];
  }

  /** Addresses of the receiver. */
  get hosts(): string[] {
    return Array.from({ length: this.pairs }, (_, i) => addressOf(i, 1));
  }

  /** The process that serves at the receiver. */
  get server(): number {
    if (this.#server === undefined) throw new StillwireError('INTERNAL', 'the ends are not furnished');
    return this.#server.pid;
  }

  /**
   * Gives every device MTU, address and its neighbour's MAC address, so that no ARP disturbs; starts the server.
   * @param without the carrier loses frames with offloads: they are turned off
   */
  async furnish({ without = false } = {}): Promise<void> {
    const ground = this.#ground;
    for (let i = 0; i < this.pairs; i++) {
      const device = `eth${i}`;
      for (const [end, namespace] of this.both.entries()) {
        await ground.ip('-n', namespace, 'address', 'add', `${addressOf(i, end as 0 | 1)}/24`, 'dev', device);
        await ground.ip('-n', namespace, 'link', 'set', device, 'mtu', String(MTU), 'up');
        if (without) await ground.run({ namespace }, this.#traffic, 'offloads', device, 'off');
      }
      for (const [end, namespace] of this.both.entries()) {
        const other = (1 - end) as 0 | 1;
        const station = ['to', addressOf(i, other), 'lladdr', await this.#macOf(this.both[other], device)];
        await ground.ip(
          '-n',
          namespace,
          'neighbour',
          'replace',
          ...station,
          'dev',
          device,
          'nud',
          'permanent',
        );
      }
    }
    const told = await ground.run({ namespace: this.sender }, this.#traffic, 'offloads', 'eth0');
    this.offloads = JSON.parse(told) as string[];
    this.#server = await ground.start({ namespace: this.receiver }, [this.#traffic, 'serve']);
    await this.#server.said('ready', ground.signal);
  }

  async #macOf(namespace: string | undefined, device: string): Promise<string> {
    const links = JSON.parse(
      await this.#ground.ip('-n', namespace!, '-j', 'link', 'show', 'dev', device),
    ) as {
      address: string;
    }[];
    return links[0]!.address;
  }

  /** Where the counters of the receiver's devices can be read. */
  get counters(): string {
    return `/proc/${this.server}/net/dev`;
  }

  /** Frames that the receiver's devices have had so far. */
  delivered(): number {
    return framesReceived(readFileSync(this.counters, 'latin1'));
  }

  /** Runs the traffic program at the sender's end. */
  traffic(cpus: string, ...args: string[]): Promise<string> {
    return this.#ground.run({ namespace: this.sender, cpus }, this.#traffic, ...args);
  }

  /** Begins to flood every receiver, until the program is ended. */
  async flood(cpus: string): Promise<Running> {
    const where = { namespace: this.sender, cpus };
    return Running.start(where, [this.#traffic, 'flood', String(FLOOD_BOUND_MS), ...this.hosts]);
  }

  /** Waits until frames arrive. */
  async flowing(flood: Running): Promise<void> {
    const before = this.delivered();
    const late = (): Error => flood.failure(`reaches nobody in ${this.receiver}`);
    await until(() => this.delivered() > before + 100, this.#ground.signal, late);
  }
}
