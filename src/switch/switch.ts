/**
 * The learning switch of a network, and the one place where its traffic can be held.
 *
 * Goal: every frame to exactly the ports it is for, in order per destination; on hold nothing is delivered, nothing
 * is lost, and what lies in the queues at the mark is the complete in-flight state.
 *
 * A frame's way:
 *   receive(port): a burst is read from the port and switched          forwarder.ts
 *     destination free: it leaves at once                              egress.ts
 *     held, or frames before it: it is copied once and queued          kept-frames.ts, hold-queue/store.ts
 *   serve(): queues go on as far as their ports take frames            egress.ts, pace.ts
 *
 * A hold's way:
 *   hold() → sendSentinels(), sendCookies()     markers.ts, cookies.ts
 *          → recall()                           recall.ts, recalled.ts
 *          → sweep() → mark() → release()       mark.ts, stations.ts
 *
 * All of it is single-threaded and synchronous: when hold() has returned, nothing more is sent until release(). That
 * is the guarantee the quiesce stands on. Time comes from outside, in milliseconds.
 */
import type { InflightFrame, PortId } from '../frame/types.js';
import { FrameMemory } from '../port/batch.js';
import type { DownEvidence, PortKind, UpEvidence } from '../port/evidence.js';
import { INSPECT_MS, type Port } from '../port/port.js';
import { Forwarder, type FrameWatcher } from './forwarder.js';
import type { HoldStore } from '../hold-queue/store.js';
import { KeptFrames } from './kept-frames.js';
import type { PortLedger } from './ledger.js';
import { takeMark, type Mark } from './mark.js';
import { Markers, type AddressOnPort } from './markers.js';
import { Members, type Member, type SegmentSettings } from './members.js';
import { Recalls, type RecallOrder } from './recall.js';
import { learnStations, stationsOf, type StationOnPort } from './stations.js';

/** Bursts of one port in a sweep: a guest still running could go on for ever. */
const SWEPT_BURSTS = 10_000;

export interface RawEvidence {
  readonly port: PortId;
  readonly kind: PortKind;
  readonly kernelProof: boolean;
  readonly down: DownEvidence;
  readonly up: UpEvidence;
}

export class Switch {
  readonly memory: FrameMemory;
  readonly #members: Members;
  readonly #markers: Markers;
  readonly #kept: KeptFrames;
  readonly #forwarder: Forwarder;
  readonly #recalls: Recalls;
  readonly #store: HoldStore | undefined;
  /** When ports are to be inspected; never, as long as there is none to inspect. */
  #inspectAt = Number.POSITIVE_INFINITY;

  /**
   * @param store where frames are kept during a hold; absent: in heap memory. The switch closes it.
   * @param memory where frames pass through; mapped for the life of the process, so that tests share one
   */
  constructor(
    counters: SharedArrayBuffer,
    wallClock: () => bigint,
    store?: HoldStore,
    memory = new FrameMemory(),
  ) {
    this.memory = memory;
    this.#store = store;
    this.#members = new Members(counters, memory, store);
    this.#markers = new Markers(this.#members);
    this.#kept = new KeptFrames(memory, this.#members, wallClock, store);
    this.#forwarder = new Forwarder(memory, this.#members, this.#kept, this.#markers);
    this.#recalls = new Recalls(this.#members, this.#markers, this.#kept, wallClock);
  }

  get held(): boolean {
    return this.#kept.held;
  }

  /** A hold queue has reached its bound: the hold must be ended, by whoever can resume what is stopped. Nothing is lost. */
  get overflowed(): boolean {
    return this.#kept.fullness >= 1;
  }

  /** A hold queue has reached twice its bound: nobody ended the hold, so the switch has to. */
  get flooded(): boolean {
    return this.#kept.fullness >= 2;
  }

  /** Sees every frame received, before it is switched. */
  set watcher(watcher: FrameWatcher | undefined) {
    this.#forwarder.watcher = watcher;
  }

  addSegment(name: string, settings: SegmentSettings): void {
    this.#members.addSegment(name, settings);
  }

  /** @returns the port's number: its row among the counters */
  addPort(port: Port, segmentName: string, vlan = 0): number {
    const index = this.#members.add(port, segmentName, vlan);
    if (!this.held) this.#store?.settle();
    if (port.inspect !== undefined) this.#inspectAt = Math.min(this.#inspectAt, 0);
    return index;
  }

  /** Removes and closes a port; frames queued for it are dropped as `portGone`. */
  removePort(id: PortId): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    member.egress.abandon();
    this.#markers.cookies.forgetPort(member.index);
    this.#recalls.forgetPort(id);
    this.#members.remove(member);
    member.port.close();
  }

  ports(): Port[] {
    return Array.from(this.#members.all(), ({ port }) => port);
  }

  /** Takes one burst from port number `index` and switches it; how many frames, negative when its device is gone. */
  receive(index: number, now: number): number {
    const member = this.#members.at(index);
    return member === undefined ? 0 : this.#forwarder.receive(member, now);
  }

  /** Whether a port wants its frames received as they come ({@link Port.hasty}). */
  isHasty(index: number): boolean {
    return this.#members.at(index)?.port.hasty === true;
  }

  /** Whether more frames may wait where the last {@link receive} found its burst. */
  get more(): boolean {
    return this.#forwarder.more;
  }

  /** Lets queues go on. @returns milliseconds until this wants to be called again, undefined when nothing waits */
  serve(now: number): number | undefined {
    this.#kept.secure();
    const inspected = this.#inspect(now);
    if (this.held) return inspected;
    let next = this.#store?.collect() ?? inspected;
    if (next !== undefined && inspected !== undefined) next = Math.min(next, inspected);
    let releasing = false;
    for (const member of this.#members.byIndex) {
      if (member === undefined) continue;
      member.egress.serve(now);
      member.egress.measure(now);
      releasing ||= member.egress.pace.active;
      const wanted = member.egress.wantsIn(now);
      if (wanted !== undefined) next = Math.min(next ?? wanted, wanted);
    }
    if (!releasing) this.#store?.end();
    return next;
  }

  /** @returns milliseconds until the next time */
  #inspect(now: number): number | undefined {
    if (now < this.#inspectAt) return Number.isFinite(this.#inspectAt) ? this.#inspectAt - now : undefined;
    for (const { port } of this.#members.all()) port.inspect?.();
    this.#inspectAt = now + INSPECT_MS;
    return INSPECT_MS;
  }

  /** Stops all delivery. When this returns, no frame is sent before {@link release}. */
  hold(): void {
    for (const { port } of this.#members.all()) port.beginHold(); // may throw; then there is no hold
    this.#markers.cookies.beginHold();
    this.#recalls.beginHold();
    for (const { egress } of this.#members.all()) egress.beginHold();
    this.#kept.beginHold();
  }

  /** Puts the sentinels behind the last frame sent on each port that needs them. */
  sendSentinels(nonce: Uint8Array): void {
    this.#markers.sendSentinels(nonce);
  }

  /** Swallows sentinels with these nonces from now on. */
  recognise(nonces: readonly Uint8Array[]): void {
    this.#markers.recognise(nonces);
  }

  /** Puts a cookie behind the last frame sent on each of these ports (absent: on all) where frames can lie. */
  sendCookies(nonce: Uint8Array, now: number, ports?: readonly PortId[]): void {
    this.#markers.sendCookies(nonce, now, ports);
  }

  /** Swallows cookies with these nonces and what answers them from now on; and knows who answers. */
  recogniseCookies(nonces: readonly Uint8Array[], addresses: readonly AddressOnPort[], now: number): void {
    this.#markers.recogniseCookies(nonces, addresses, now);
  }

  /** Takes back what these ports' guests have not read. */
  recall(orders: readonly RecallOrder[], now: number): void {
    this.#recalls.recall(orders, now);
  }

  /** Receives on every port until nothing waits. */
  sweep(now: number): void {
    this.#markers.cookies.endSending();
    this.#recalls.whenStopped();
    for (const { index } of this.#members.all()) {
      for (let i = 0; i < SWEPT_BURSTS && !this.overflowed && this.receive(index, now) > 0; i++);
    }
  }

  /** What can be observed at every port now. */
  evidence(): RawEvidence[] {
    return Array.from(this.#members.all(), (member) => this.#evidenceOf(member));
  }

  #evidenceOf(member: Member): RawEvidence {
    const { port, index } = member;
    this.#markers.sendCookie(member); // what the port had no room for
    const cookie = this.#markers.cookies.state(index);
    return {
      port: port.id,
      kind: port.kind,
      kernelProof: port.kernelProof,
      down: { ...port.downEvidence(), cookie, recalled: this.#recalls.countOf(port.id) },
      up: port.upEvidence(),
    };
  }

  /** Pins the in-flight set: what lies in the queues now, in order of arrival. */
  mark(now: number): Mark {
    this.#recalls.beforeMark();
    const mark = takeMark(this.#members, this.#markers, now);
    this.#store?.pin(mark.frames.map(({ frame }) => frame));
    return mark;
  }

  /** Lets the frames of a mark go. */
  unpin(mark: Mark): void {
    this.#store?.unpin(mark.frames.map(({ frame }) => frame));
  }

  /** Puts saved frames into the queues of their destinations, in order, while held. Unknown destinations are ignored. */
  restore(frames: readonly InflightFrame[]): void {
    this.#kept.secure();
    for (const { destinations, ...saved } of frames) {
      const frame = this.#kept.restored(saved);
      for (const id of destinations) this.#members.get(id)?.egress.enqueue(frame, this.held);
    }
    this.#store?.settle();
  }

  /** Resumes delivery: what was held first, paced. */
  release(now: number): void {
    this.#recalls.beforeRelease();
    this.#kept.endHold();
    for (const { egress } of this.#members.all()) egress.beginRelease(now);
  }

  /**
   * How the last release went: when its first frame left on the last port that had any, or undefined while one of
   * them still waits; and whether all that was held is out. A port that takes nothing is not waited for.
   */
  releaseProgress(): { lastPortStartedAt: number | undefined; drained: boolean } {
    const egresses = Array.from(this.#members.all(), ({ egress }) => egress);
    const waiting = egresses.some(
      ({ delivering, firstReleasedAt }) => delivering && firstReleasedAt === undefined,
    );
    const times = egresses.flatMap(({ firstReleasedAt }) => firstReleasedAt ?? []);
    return {
      lastPortStartedAt: waiting || times.length === 0 ? undefined : Math.max(...times),
      drained: egresses.every(({ delivering }) => !delivering),
    };
  }

  ledger(): PortLedger[] {
    return this.#members.ledger();
  }

  /** @param most stations of one port, the last heard of them */
  stations(now: number, most?: number): StationOnPort[] {
    return stationsOf(this.#members, now, most);
  }

  /** Teaches the tables what a checkpoint knew. */
  learnStations(stations: readonly StationOnPort[], now: number): void {
    learnStations(this.#members, stations, now);
  }

  /** Why frames held now would not survive the process; told once per hold. */
  takeFault(): string | undefined {
    return this.#store?.takeFault();
  }

  close(): void {
    for (const { id } of this.ports()) this.removePort(id);
    this.#store?.close();
  }

  /** Closes everything as a crash would: what is held stays in the hold file. */
  leave(): void {
    for (const port of this.ports()) port.close();
    this.#store?.leave();
  }
}
