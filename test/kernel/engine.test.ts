/** What every engine does: a turn for whoever is ready, none for who is gone, and sleep when nothing is to be done. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Engine, Turned } from '../../src/switch/engine.js';
import { EpollEngine } from '../../src/switch/epoll-engine.js';
import { UringEngine } from '../../src/switch/uring-engine.js';
import { clearEvent, closeFd, createEvent, Ring, signalEvent } from '../../src/sys/index.js';

const BURST = 64;
/** So that no turn of a test waits for ever. */
const LOOK_AGAIN_MS = 5;

/** Ports that are eventfds: readable while frames wait. */
class Ports implements Turned {
  readonly waiting: number[] = [];
  readonly fds: number[] = [];
  readonly gone = new Set<number>();
  /** What happened, in order: the number of a port that got a turn, or `control`. */
  readonly turns: (number | 'control')[] = [];
  readonly hasty = new Set<number>();
  received = 0;
  /** Turns in which a port had nothing. */
  inVain = 0;
  more = false;

  add(): number {
    this.waiting.push(0);
    return this.fds.push(createEvent()) - 1;
  }

  bring(port: number, frames: number): void {
    this.waiting[port]! += frames;
    signalEvent(this.fds[port]!);
  }

  receive(port: number): number {
    this.turns.push(port);
    if (this.gone.has(port)) return -1;
    const came = Math.min(BURST, this.waiting[port]!);
    this.waiting[port]! -= came;
    this.received += came;
    if (came === 0) this.inVain++;
    this.more = came === BURST;
    if (this.waiting[port] === 0) clearEvent(this.fds[port]!);
    return came;
  }

  isHasty(port: number): boolean {
    return this.hasty.has(port);
  }

  serve(): number {
    return LOOK_AGAIN_MS;
  }
}

let close: (() => void) | undefined;
afterEach(() => close?.());

function setUp(name: string): { engine: Engine; ports: Ports; order: () => void } {
  const ports = new Ports();
  const control = createEvent();
  const onControl = (): void => void ports.turns.push('control');
  const ring = name === 'epoll' ? undefined : new Ring();
  const engine =
    ring === undefined
      ? new EpollEngine(ports, control, onControl)
      : new UringEngine(ports, ring, control, onControl);
  close = () => {
    engine.close();
    ring?.close();
    for (const fd of [...ports.fds, control]) closeFd(fd);
  };
  const order = (): void => signalEvent(control);
  order();
  engine.turn(); // it would wait for ever: only from now on there is something to look at again
  ports.turns.length = 0;
  return { engine, ports, order };
}

/** Turns until `done`, a bounded number of times. */
function turn(engine: Engine, done: () => boolean): void {
  for (let i = 0; i < 2000 && !done(); i++) engine.turn();
  expect(done()).toBe(true);
}

describe.each(['epoll', 'io_uring'])('%s', (name) => {
  const watched = (): ReturnType<typeof setUp> & { port: number } => {
    const set = setUp(name);
    const port = set.ports.add();
    set.engine.watch(port, set.ports.fds[port]!);
    return { ...set, port };
  };

  test('after a flood, and the silence after it, a single frame still wakes', () => {
    const { engine, ports, port } = watched();
    for (let round = 1; round <= 3; round++) {
      ports.received = 0;
      ports.bring(port, 40_000);
      turn(engine, () => ports.received === 40_000);
      for (let i = 0; i < 20; i++) engine.turn();
      ports.bring(port, 1);
      turn(engine, () => ports.received === 40_001);
    }
  });

  test('a port whose queue is short is waited for, however much it brings', () => {
    const { engine, ports, port } = watched();
    ports.hasty.add(port);
    for (let i = 0; i < 2000; i++) {
      ports.bring(port, BURST - 1);
      engine.turn();
    }
    expect(ports.received).toBe(2000 * (BURST - 1));
    for (let i = 0; i < 20; i++) engine.turn();
    expect(ports.inVain).toBe(0);
  });

  test('a port in a flood does not keep others from their turn', () => {
    const { engine, ports, port } = watched();
    const other = ports.add();
    engine.watch(other, ports.fds[other]!);
    ports.bring(port, 64_000);
    for (let i = 0; i < 10; i++) engine.turn();
    ports.turns.length = 0;
    ports.bring(other, 1);
    turn(engine, () => ports.waiting[other] === 0);
    expect(ports.turns.length).toBeLessThan(8);
  });

  test('of a hundred that are ready everybody gets a turn; commands go before frames', () => {
    const { engine, ports, order } = setUp(name);
    for (let i = 0; i < 100; i++) {
      const port = ports.add();
      engine.watch(port, ports.fds[port]!);
      if (i < 30) ports.bring(port, 3);
    }
    order();
    engine.turn();
    expect(ports.turns[0]).toBe('control');
    turn(engine, () => ports.received === 90);
    for (let port = 0; port < 100; port++) ports.bring(port, 2);
    turn(engine, () => ports.received === 290);
  });

  test('who is no longer watched gets no turn, whatever waits', () => {
    const { engine, ports, port } = watched();
    ports.bring(port, 64_000);
    for (let i = 0; i < 20; i++) engine.turn();
    engine.unwatch(ports.fds[port]!);
    ports.turns.length = 0;
    for (let i = 0; i < 20; i++) engine.turn();
    expect(ports.turns).toEqual([]);
  });

  test('a device that is gone is asked once, and wakes nobody any more', () => {
    const { engine, ports, port } = watched();
    ports.gone.add(port);
    ports.bring(port, 5);
    for (let i = 0; i < 20; i++) engine.turn();
    expect(ports.turns).toEqual([port]);
  });

  test('who is idle is left alone', () => {
    const { engine, ports } = watched();
    for (let i = 0; i < 50; i++) engine.turn();
    expect(ports.turns).toEqual([]);
  });
});
