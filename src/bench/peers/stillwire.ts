/** Stillwire itself, in a process of its own, with both kinds of port that touch no hypervisor. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StillwireError } from '../../errors/index.js';
import { define, type NetworkDefinition } from '../../index.js';
import { namespaceOf } from '../../network/index.js';
import type { CarrierKind } from '../carrier.js';
import { MTU, type Ends } from '../ends.js';
import type { Ground } from '../ground.js';
import type { Running } from '../program.js';
import type { OrderName, Reply, SwitchOrders } from '../switch-orders.js';

const ENTRY = fileURLToPath(new URL('../switch-process.js', import.meta.url));
/** For a network to close and its guests to end. */
const CLOSE_MS = 10_000;

export class StillwireProcess {
  readonly #running: Running;
  readonly #ground: Ground;
  #engine = '';

  private constructor(ground: Ground, running: Running) {
    this.#ground = ground;
    this.#running = running;
  }

  /**
   * Opens a network. It lives in `namespace`, where what it makes on the host's side appears.
   * @throws StillwireError with what its process told
   */
  static async open(
    ground: Ground,
    namespace: string,
    definition: NetworkDefinition,
  ): Promise<StillwireProcess> {
    const runDirectory = join(ground.directory, definition.network);
    await mkdir(runDirectory, { recursive: true });
    ground.removeLater(namespaceOf(definition.network)); // its process does that, unless it dies
    const running = await ground.start({ namespace }, [process.execPath, ENTRY], {
      ipc: true,
      graceMs: CLOSE_MS,
    });
    const opened = new StillwireProcess(ground, running);
    opened.#engine = await opened.ask('open', { definition, runDirectory });
    return opened;
  }

  get pid(): number {
    return this.#running.pid;
  }

  /** The engine its switch runs on. */
  get engine(): string {
    return this.#engine;
  }

  async ask<O extends OrderName>(order: O, ask: SwitchOrders[O]['ask']): Promise<SwitchOrders[O]['answer']> {
    const ending = new AbortController();
    const signal = AbortSignal.any([this.#ground.signal, ending.signal]);
    const exit = (): void => ending.abort(this.#running.failure('has ended'));
    this.#running.channel.once('exit', exit);
    try {
      const answer = once(this.#running.channel, 'message', { signal });
      this.#running.channel.send({ order, ask });
      const [reply] = (await answer) as [Reply];
      if ('error' in reply) throw new StillwireError('SYSCALL', `Stillwire: ${reply.error}`);
      return reply.answer as SwitchOrders[O]['answer'];
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      this.#running.channel.off('exit', exit);
    }
  }
}

/** A Stillwire among the carriers. */
export interface StillwireKind extends CarrierKind {
  /** Once it carries. */
  process(): StillwireProcess;
}

/** TAPs in the ends whose descriptors the switch reads and writes. @param pairs ports are twice as many */
export function stillwireTap(pairs = 1): StillwireKind {
  return kind(
    { name: 'Stillwire, TAP fd', ports: 'TAP fd', role: `sw${2 * pairs}`, pairs },
    (ground, ends) => {
      const ports = Array.from({ length: pairs }, (_, i) =>
        ends.both.map((netns, end) => [
          `p${i}-${end}`,
          { kind: 'device', segment: 'lan', device: `eth${i}`, netns, mtu: MTU },
        ]),
      );
      return openPorts(ground, `sw${2 * pairs}`, ports.flat());
    },
  );
}

/** Veths whose near end the switch serves by packet sockets. */
export function stillwirePacket(): StillwireKind {
  return kind({ name: 'Stillwire, packet', ports: 'packet on veth', role: 'swp' }, async (ground, ends) => {
    const ports = ends.both.map((_, end) => [
      `p${end}`,
      { kind: 'external', segment: 'lan', device: `far${end}`, mtu: MTU },
    ]);
    const opened = await openPorts(ground, 'swp', ports);
    for (const [i, end] of ends.both.entries()) {
      await ground.ip('-n', ground.name('swp'), 'link', 'set', `far${i}`, 'netns', end, 'name', 'eth0');
    }
    return opened;
  });
}

async function openPorts(ground: Ground, role: string, ports: unknown[][]): Promise<StillwireProcess> {
  const namespace = await ground.namespace(role);
  const shape = { network: namespace, segments: { lan: {} }, ports: Object.fromEntries(ports) as object };
  return StillwireProcess.open(ground, namespace, define(shape));
}

function kind(
  told: Pick<CarrierKind, 'name' | 'ports' | 'role' | 'pairs'>,
  openIt: (ground: Ground, ends: Ends) => Promise<StillwireProcess>,
): StillwireKind {
  let opened: StillwireProcess | undefined;
  return {
    ...told,
    missing: () => Promise.resolve(undefined),
    async carry(ground, ends) {
      opened = await openIt(ground, ends);
      return [opened.pid];
    },
    process() {
      if (opened === undefined) throw new StillwireError('INTERNAL', `${told.name} was not started`);
      return opened;
    },
  };
}
