/**
 * Stillwire as the benchmark measures it: a network opened by the library in a process that does nothing else. Orders come
 * over the channel of its parent, one at a time; when that closes, the network does too.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { LiveNetwork, open, type Network } from '../index.js';
import {
  framesReceived,
  type HoldSample,
  type Order,
  type Reply,
  type SwitchOrders,
} from './switch-orders.js';

/** Before a hold: the flood is back at its rate. */
const FLOOD_MS = 10;
const FLOOD_FRAMES = 1000;
/** A sender that gets no processor for so long floods nobody; the trial says so. */
const FLOOD_BOUND_MS = 2000;
/** While a hold lasts: long enough for a frame that is sent in spite of it to be seen. */
const HELD_MS = 2;
const LEASE_MS = 1000;

class SwitchProcess {
  #network: Network | undefined;
  #live: LiveNetwork | undefined;
  #busy: NodeJS.Immediate | undefined;
  /** The order that is being obeyed. */
  #doing: Promise<unknown> = Promise.resolve();
  #closing = false;

  async open({ definition, runDirectory }: SwitchOrders['open']['ask']): Promise<string> {
    if (Object.keys(definition.guests).length === 0) {
      this.#network = await open(definition);
    } else {
      this.#live = await LiveNetwork.up(definition, { runDirectory, signal: new AbortController().signal });
      this.#network = this.#live.network;
    }
    return (await this.#network.ledger()).engine;
  }

  /**
   * A flood of more than the switch can carry would never let it deliver what it has held, for live frames queue behind
   * it: so the sender is stopped meanwhile.
   */
  async hold({ count, sender, counters }: SwitchOrders['hold']['ask']): Promise<HoldSample[]> {
    const network = this.#network!;
    const delivered = (): number => framesReceived(readFileSync(counters, 'latin1'));
    const samples: HoldSample[] = [];
    let last = delivered();
    for (let i = 0; i < count && !this.#closing; i++) {
      process.kill(sender, 'SIGCONT');
      const began = now();
      do await sleep(FLOOD_MS);
      while (delivered() < last + FLOOD_FRAMES && now() < began + FLOOD_BOUND_MS);
      const asked = now();
      const hold = await network.holdAsIs({ leaseMs: LEASE_MS });
      const answered = now();
      const atAnswer = delivered();
      await sleep(HELD_MS);
      const after = delivered() - atAnswer;
      // A flood fills the queues in a tenth of a second; on a machine that gave us no processor for so long, that ends it.
      const kept = (await network.ledger()).held;
      samples.push({
        heldMs: hold.heldAt - asked,
        answeredMs: answered - asked,
        kept,
        after,
        before: atAnswer - last,
      });
      last = atAnswer + after;
      process.kill(sender, 'SIGSTOP');
      const drained = network.nextRelease(LEASE_MS);
      await hold.release();
      await drained;
    }
    return samples;
  }

  busy({ on, file }: SwitchOrders['busy']['ask']): void {
    clearImmediate(this.#busy);
    if (!on) {
      rmSync(file, { force: true });
      return;
    }
    const load = Array.from({ length: 20_000 }, (_, i) => ({
      name: `port${i}`,
      frames: i,
      path: ['a', 'b', i],
    }));
    const work = (): void => {
      const text = JSON.stringify(load);
      JSON.parse(text);
      writeFileSync(file, text);
      this.#busy = setImmediate(work);
    };
    this.#busy = setImmediate(work);
  }

  /** What is half open is first opened, so that it can be closed. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#doing.catch(() => undefined);
    await (this.#live ?? this.#network)?.close();
  }

  obey(order: Order): Promise<unknown> {
    this.#doing = this.#obey(order);
    return this.#doing;
  }

  async #obey({ order, ask }: Order): Promise<unknown> {
    if (order === 'open') return this.open(ask);
    if (order === 'hold') return this.hold(ask);
    this.busy(ask);
    return undefined;
  }
}

/** Milliseconds of CLOCK_MONOTONIC, as the switch thread tells them. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

const own = new SwitchProcess();
/** To a parent that has gone away meanwhile nothing is told; without the callback that would end us at once. */
const reply = (message: Reply): void => {
  process.send?.(message, undefined, undefined, () => undefined);
};
process.on('message', (order: Order) => {
  own.obey(order).then(
    (answer) => reply({ answer }),
    (error: unknown) => reply({ error: error instanceof Error ? error.message : String(error) }),
  );
});
process.on('disconnect', () => {
  void own.close().finally(() => {
    process.exit();
  });
});
