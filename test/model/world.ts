/**
 * One network of the model with its guests, from its opening or from an image; and the taking of checkpoints and the
 * restart from one, in the steps of checkpoint/checkpoint.ts and checkpoint/restart.ts around the real sequence.
 */
import { EventEmitter } from 'node:events';
import type { LiveNetwork } from '../../src/checkpoint/index.js';
import { everyone } from '../../src/checkpoint/everyone.js';
import { StillwireError } from '../../src/errors/index.js';
import type { InflightFrame } from '../../src/frame/types.js';
import type { Network } from '../../src/network/index.js';
import type { Channel, Observation, PortEvidence } from '../../src/quiesce/index.js';
import { imbalances, type MarkAnswer, type SwitchHandle } from '../../src/switch/index.js';
import type { Account, Memory } from './account.js';
import type { Agenda } from './agenda.js';
import type { Code } from './code.js';
import { Machine, type Ram } from './machine.js';
import type { AttemptPlan, GuestPlan, Interruption } from './scenario.js';
import { SwitchThread } from './switch-thread.js';
import { Tap } from './tap.js';
import { isFor, kindOf, unitsOf } from './wire.js';

const LEASE_MS = 3_600_000; // the model ends leases itself
/** From a hold queue's bound to twice that bound, at the least. */
const FLOOD_MS = 12;
const PREPARING = { least: 0.1, most: 1, seldom: 5 };
const COMMIT = { least: 1, most: 3, seldom: 10 };

export interface SavedGuest {
  readonly ram: Ram;
  readonly state: 'running' | 'paused' | 'ended';
}

export interface ModelImage {
  readonly frames: readonly InflightFrame[];
  readonly answer: MarkAnswer;
  readonly evidence: readonly PortEvidence[];
  readonly guests: ReadonlyMap<number, SavedGuest>;
  readonly proven: boolean;
  readonly heldAt: number;
  readonly lossy: ReadonlySet<number>;
}

export interface Setting {
  readonly code: Code;
  readonly agenda: Agenda;
  readonly account: Account;
  readonly plans: readonly GuestPlan[];
  /** Whether a method that promises nothing is held to the others' promises. */
  readonly strict: boolean;
}

const portOf = (guest: number): string => `vm${guest}/nic0`;
const numberOf = (port: string): number => Number(port.slice(2).split('/')[0]);
const unitsIn = (wires: Ram['tx']): number[] =>
  wires.filter((wire) => kindOf(wire) === 'data').flatMap(unitsOf);

export class World {
  readonly thread: SwitchThread;
  readonly machines: Machine[];
  /** Guests towards whom something may have been lost by a method that promises nothing. */
  readonly lossy = new Set<number>();
  readonly #setting: Setting;
  readonly #live: LiveNetwork;
  readonly #disk = new Map<string, Ram>();
  #underWay = 0;
  closed = false;

  constructor(setting: Setting, image?: ModelImage) {
    const { code, agenda, account, plans } = setting;
    this.#setting = setting;
    this.thread = new SwitchThread(code, agenda);
    if (image !== undefined) {
      this.thread.openHeld();
      for (const guest of image.lossy) this.lossy.add(guest);
    }
    this.machines = plans.map((plan, i) => {
      const number = i + 1;
      const tap = new Tap(
        { ...plan, id: portOf(number), kind: plan.kernelProof ? 'tap' : 'dgram' },
        this.thread.core.memory,
        agenda,
        {
          dropped: (units) => {
            for (const unit of units) account.dropped.set(unit, agenda.now());
          },
          forwarded: (what) => account.fault(`the switch forwarded a ${what}`),
        },
      );
      const saved = image?.guests.get(number);
      const ram = saved?.ram ?? { sent: [], got: [], tx: [], rx: [], taking: !plan.unready };
      const parts = { number, tap, traits: plan, agenda, disk: this.#disk, ram, paused: plan.paused };
      const machine = new Machine(parts);
      if (saved?.state === 'ended') machine.dead = true;
      else if (image === undefined && !plan.paused) {
        machine.running = true;
        machine.announce();
      }
      return machine;
    });
    if (image === undefined) for (const { tap } of this.machines) this.thread.addTap(tap);
    const network = Object.assign(new EventEmitter(), {
      definition: { network: 'lab' },
      currentHold: undefined,
    });
    this.#live = new code.LiveNetwork(network as unknown as Network);
  }

  /** As checkpoint/restart.ts: the network held from its first moment, guests loaded, resumed, then released. */
  static async restart(setting: Setting, image: ModelImage): Promise<World> {
    const world = new World(setting, image);
    const { thread, machines } = world;
    const { agenda } = setting;
    const { epoch } = (await thread.call('hold', {})) as { epoch: number };
    for (const { tap } of machines) thread.addTap(tap);
    const { stations, nonces, cookies, addresses } = image.answer;
    await thread.call('restore', { epoch, frames: image.frames, stations, nonces, cookies, addresses });
    await agenda.sleep(agenda.delay(COMMIT));
    await everyone(
      machines.filter(({ number }) => image.guests.get(number)?.state === 'running'),
      (machine) => machine.resume(),
    );
    await thread.call('release', { epoch });
    return world;
  }

  /** Takes one checkpoint. @throws StillwireError what failed it, everything undone */
  take(plan: AttemptPlan, overlap: () => void): Promise<ModelImage> {
    return this.#live.exclusively(() => this.#take(plan, overlap));
  }

  async #take(plan: AttemptPlan, overlap: () => void): Promise<ModelImage> {
    const ran = this.machines.filter(({ running }) => running);
    this.#underWay++;
    try {
      const image = await this.#cut(plan, overlap);
      this.#checkImage(image, plan);
      return image;
    } finally {
      this.#underWay--;
      if (!this.closed && this.#underWay === 0) this.#checkFree(ran);
    }
  }

  async #cut(plan: AttemptPlan, overlap: () => void): Promise<ModelImage> {
    const { code, agenda } = this.#setting;
    const crew = await code.Crew.assemble(this.machines);
    const leased = new code.LeasedChannel(this.thread as unknown as SwitchHandle, LEASE_MS);
    const caller = new AbortController();
    const lost = new AbortController();
    const signal = AbortSignal.any([caller.signal, lost.signal]);
    const undo = [(): void => leased.forget()];
    const letGo = (): void => {
      for (const step of undo.splice(0)) step();
    };
    leased.signal.addEventListener('abort', () => lost.abort(leased.signal.reason));
    for (const machine of this.machines) {
      undo.push(machine.watch((reason) => lost.abort(new StillwireError('GUEST_DIED', reason))));
    }
    await agenda.sleep(agenda.delay(PREPARING));
    const present = new Set(crew.present.map(({ name }) => name));
    const witnessed: Channel<MarkAnswer> = {
      hold: async () => {
        const answer = await leased.hold();
        holding = true;
        return answer;
      },
      sentinels: (epoch) => leased.sentinels(epoch),
      cookies: (epoch, ports) => leased.cookies(epoch, ports),
      recall: (epoch, ports) => leased.recall(epoch, ports),
      sweep: (epoch) => leased.sweep(epoch),
      observe: async (epoch) => {
        seen = (await leased.observe(epoch)).filter(({ port }) => present.has(port.split('/')[0]!));
        return seen;
      },
      mark: (epoch) => leased.mark(epoch),
      release: (epoch) => leased.release(epoch),
    };
    let holding = false;
    let over = false;
    let seen: Observation[] = [];
    const states = new Map(this.machines.map((machine) => [machine.number, crew.stateOf(machine)]));
    const guests = (): Map<number, SavedGuest> =>
      new Map(
        this.machines.map(({ number, name, ram }) => {
          const state = states.get(number) as SavedGuest['state'];
          return [number, { ram: state === 'ended' ? ram : this.#disk.get(name)!, state }];
        }),
      );
    const those = this.machines.filter(({ name }) => present.has(name));
    const save = async (): Promise<void> => {
      if (plan.kind === 'background') {
        return everyone(those, (m) => m.saveAndGoOn(m.name, states.get(m.number) === 'running', signal));
      }
      await everyone(those, (machine) => machine.save(machine.name, signal));
      if (plan.kind !== 'kill') return;
      signal.throwIfAborted();
      await agenda.sleep(agenda.delay(COMMIT));
      signal.throwIfAborted();
      letGo();
      await crew.kill();
      this.closed = true;
    };
    try {
      const { kind, method, unready, bounds, requireProof } = plan;
      const cut = await code.runSequence(witnessed, crew, save, {
        method,
        unready,
        bounds,
        requireProof,
        signal,
        time: agenda,
        stayHeld: kind === 'kill',
        beforePhase: (phase) => {
          if (phase === 'stop') for (const guest of this.#promisesNothing(plan, seen)) this.lossy.add(guest);
          for (const one of plan.interruptions) {
            if (one.phase === phase)
              agenda.in(one.delay, () => {
                if (!over && (one.what !== 'lease' || holding)) this.#happen(one, caller, overlap);
              });
          }
          return Promise.resolve();
        },
      });
      const { marked: answer, evidence, heldAt } = cut;
      const frames = (await this.thread.call('frames', { mark: answer.mark, from: 0 })) as InflightFrame[];
      this.thread.ended = this.closed;
      const proven = evidence.length > 0 && code.isProven(evidence); // of nobody, anything is proven
      return { frames, answer, evidence, guests: guests(), proven, heldAt, lossy: new Set(this.lossy) };
    } finally {
      over = true;
      letGo();
    }
  }

  /** Quiet promises nothing to anybody, a cookie nothing to those whom nobody can ask. */
  #promisesNothing({ method }: AttemptPlan, seen: readonly Observation[]): number[] {
    if (this.#setting.strict) return [];
    const mute = ({ down }: Observation): boolean => method === 'cookie' && down.cookie === 'unasked';
    return seen.filter((port) => method === 'quiet' || mute(port)).map(({ port }) => numberOf(port));
  }

  #happen(one: Interruption, caller: AbortController, overlap: () => void): void {
    const { agenda } = this.#setting;
    agenda.wake();
    if (one.what === 'overlap') return overlap();
    if (one.what === 'abort') return caller.abort(new StillwireError('INTERNAL', 'the caller gave up'));
    if (one.what === 'overflow') return this.thread.overflow();
    if (one.what === 'flood') return this.thread.flood(FLOOD_MS);
    if (one.what === 'lease') {
      return void this.thread.emit('failed', new StillwireError('HOLD_EXPIRED', 'the lease ran out'));
    }
    const machine = this.machines[one.guest % this.machines.length]!;
    if (one.what === 'death') machine.die();
    else if (one.what === 'driver') machine.beginTaking();
    else if (one.what !== 'stopAgain') machine.fault = one.what;
    else if (!machine.running && !machine.dead && !machine.pausedByOwner) machine.halt();
  }

  memories(): Memory[] {
    return this.machines.map(({ number, ram, dead }) => ({
      number,
      sent: ram.sent,
      got: ram.got,
      unsent: unitsIn(ram.tx),
      ended: dead,
    }));
  }

  #checkFree(ran: readonly Machine[]): void {
    const { account } = this.#setting;
    if (this.thread.core.held) account.fault('the network is still held');
    for (const { name, running, dead } of ran)
      if (!running && !dead) account.fault(`${name} does not run again`);
    this.checkLedger();
  }

  checkLedger(): void {
    for (const fault of imbalances(this.thread.core.ledger()))
      this.#setting.account.fault(`ledger: ${fault}`);
  }

  #checkImage(image: ModelImage, plan: AttemptPlan): void {
    const { account, code } = this.#setting;
    for (const fault of imbalances(image.answer.ledger)) account.fault(`ledger at the mark: ${fault}`);
    for (const evidence of image.evidence) {
      const number = numberOf(evidence.port);
      const { ram, state } = image.guests.get(number)!;
      const takes = ram.taking && state === 'running';
      if (!takes && code.isProven([evidence])) account.fault(`${evidence.port} is proven and takes nothing`);
    }
    const memories = [...image.guests].map(([number, { ram, state }]) => ({
      number,
      sent: ram.sent,
      got: ram.got,
      unsent: unitsIn(ram.tx),
      ended: state === 'ended',
    }));
    const inflight = (guest: number): number[] =>
      image.frames
        .filter(({ destinations }) => destinations.includes(portOf(guest)))
        .map(({ vnet, bytes }) => ({ vnet: Buffer.from(vnet), bytes: Buffer.from(bytes) }))
        .filter((wire) => kindOf(wire) === 'data' && isFor(wire, guest))
        .flatMap(unitsOf);
    const provenSince = image.proven ? image.heldAt : Number.POSITIVE_INFINITY;
    account.check(`image by ${plan.method}`, memories, { inflight, lossy: image.lossy, provenSince });
  }

  /** Whether nothing is under way. */
  get atRest(): boolean {
    return (
      this.machines.every(({ dead, atRest }) => dead || atRest) &&
      this.machines.every(({ tap }) => tap.arrived.length === 0) &&
      this.thread.core.ledger().every(({ port, egress }) => egress.held === 0 || this.#isDead(port))
    );
  }

  #isDead(port: string): boolean {
    return this.machines.some(({ dead, number }) => dead && portOf(number) === port);
  }
}
