/**
 * A guest's TAP, both ways, and our port on it.
 *
 *   send() → qdisc → ring → the hypervisor reads            (down)
 *   the hypervisor writes → receive queue → receive()       (up)
 *
 * Facts (docs/theory.md): the qdisc is emptied in order, a moment later. The ring takes entries, not frames: a
 * super-frame for a guest without TSO is several. A frame from the guest is queued at once and counted a moment
 * later; one that finds the queue full is counted twice, by the device and as the socket's drop. While we hold a
 * descriptor the ring outlives its reader; a restart has a new TAP.
 *
 * The port keeps to the window and its reserve as port/tap-port.ts does.
 */
import { VNET_HEADER_BYTES, type PortId } from '../../src/frame/types.js';
import { BURST, FRAME_OFFSET, type FrameList, type FrameMemory } from '../../src/port/batch.js';
import type { DownEvidence, PortKind, UpEvidence } from '../../src/port/evidence.js';
import { ringEntries, type Port, type Unread } from '../../src/port/port.js';
import type { Agenda } from './agenda.js';
import { kindOf, segmentsOf, unitsOf, type Wire } from './wire.js';

const RING_ENTRIES = 1000;
const SENTINEL_RESERVE = 16;
/** Of what was sent, so many entries are remembered: more than the ring can hold. */
const SHADOW = 2 * RING_ENTRIES;

const QDISC = { least: 0, most: 0.01, seldom: 3 };
const COUNTING = { least: 0, most: 0.01, seldom: 0.4 };

const stored = ({ vnet, bytes }: Wire): Buffer => Buffer.concat([vnet, bytes]);

export interface TapSettings {
  readonly id: PortId;
  readonly kind: PortKind;
  readonly window: number;
  /** Whether super-frames arrive whole. */
  readonly tso: boolean;
  /** Frames the receive queue takes. */
  readonly room: number;
}

/** What the world wants to know. */
export interface TapWatcher {
  /** A segment from the guest found the receive queue full. */
  dropped(units: readonly number[]): void;
  /** The switch sent something that is no frame of a guest. */
  forwarded(what: string): void;
}

export class Tap implements Port {
  readonly receiveFd = -1;
  readonly id: PortId;
  readonly kind: PortKind;
  readonly kernelProof: boolean;
  /** Told when entries are in the ring for the hypervisor, and when frames from it are for us. */
  onRing: () => void = () => undefined;
  onArrival: () => void = () => undefined;
  closed = false;
  readonly ring: Wire[] = [];
  readonly arrived: Wire[] = [];
  /** The last entries sent, oldest first: what the hypervisor has taken out of the ring can be looked up here. */
  #shadow: Wire[] = [];
  readonly #qdisc: Wire[] = [];
  readonly #agenda: Agenda;
  readonly #memory: FrameMemory;
  readonly #settings: TapSettings;
  readonly #watcher: TapWatcher;
  #rxPackets = 0;
  #txDropped = 0;
  #takenDrops = 0;
  #pendingDrops = 0;
  #base = 0;
  #received = 0;
  /** Received since the queue was last seen empty; at its room or above, it may have been full. */
  #sinceEmpty = 0;
  #mayHaveOverrun = false;
  #droppedAtHold = 0;
  #unread = 0;
  #sentinelsUnread = 0;
  #sentinelSent = false;
  /** Entries read since the last recall. */
  #read = 0;
  /** In this hold. What is sent then is in the ring at once: an assumption. */
  #recalled = false;

  constructor(settings: TapSettings, memory: FrameMemory, agenda: Agenda, watcher: TapWatcher) {
    this.id = settings.id;
    this.kind = settings.kind;
    this.kernelProof = settings.kind === 'tap';
    this.#settings = settings;
    this.#memory = memory;
    this.#agenda = agenda;
    this.#watcher = watcher;
  }

  // The hypervisor's side.

  write(wire: Wire): void {
    const full = this.arrived.length >= this.#settings.room;
    if (full) {
      this.#pendingDrops++;
      if (kindOf(wire) === 'data') this.#watcher.dropped(unitsOf(wire));
    } else this.arrived.push(wire);
    this.#agenda.in(this.#agenda.delay(COUNTING), () => this.#rxPackets++);
    if (!full) this.onArrival();
  }

  read(): Wire | undefined {
    const wire = this.ring.shift();
    if (wire !== undefined) this.#read++;
    return wire;
  }

  // Our side.

  receive(list: FrameList): number {
    list.count = 0;
    if (this.arrived.length === 0) this.#sinceEmpty = 0;
    while (list.count < BURST) {
      const wire = this.arrived.shift();
      if (wire === undefined) break;
      this.#received++;
      if (++this.#sinceEmpty >= this.#settings.room) this.#mayHaveOverrun = true;
      const slot = this.#memory.receiveSlot(list.count);
      this.#memory.bytes.set(wire.vnet, slot);
      this.#memory.bytes.set(wire.bytes, slot + FRAME_OFFSET);
      list.add(slot, slot + FRAME_OFFSET, wire.bytes.length);
    }
    return list.count;
  }

  #wireOf(list: FrameList, i: number): Wire {
    const { bytes } = this.#memory;
    const slot = list.slot[i]!;
    const start = list.start[i]!;
    return {
      vnet: Buffer.from(bytes.subarray(slot, slot + VNET_HEADER_BYTES)),
      bytes: Buffer.from(bytes.subarray(start, start + list.length[i]!)),
    };
  }

  send(list: FrameList, from: number): number {
    let allowed = this.#fill(list, from);
    if (allowed === 0) {
      if (!this.#ringIsEmpty()) return 0;
      allowed = Math.max(1, this.#fill(list, from));
    }
    for (let i = from; i < from + allowed; i++) {
      const wire = this.#wireOf(list, i);
      if (kindOf(wire) !== 'data') this.#watcher.forwarded(`${kindOf(wire)} to ${this.id}`);
      this.#unread += ringEntries(this.#memory.bytes, list.slot[i]!, list.length[i]!);
      this.put(wire);
    }
    return allowed;
  }

  #fill(list: FrameList, from: number): number {
    let room = this.#settings.window - this.#unread;
    let i = from;
    for (; i < list.count; i++) {
      room -= ringEntries(this.#memory.bytes, list.slot[i]!, list.length[i]!);
      if (room < 0) break;
    }
    return i - from;
  }

  /** Puts a frame on its way down, past every window. */
  put(wire: Wire): void {
    this.#qdisc.push(wire);
    if (this.#qdisc.length === 1) this.#agenda.in(this.#agenda.delay(QDISC), () => this.flush());
  }

  #dequeue(): void {
    const wire = this.#qdisc.shift()!;
    for (const entry of this.#settings.tso ? [wire] : segmentsOf(wire)) {
      if (this.ring.length >= RING_ENTRIES) {
        this.#txDropped++;
        continue;
      }
      this.ring.push(entry);
      this.#shadow.push(entry);
    }
    if (this.#shadow.length > 2 * SHADOW) this.#shadow = this.#shadow.slice(-SHADOW);
    this.onRing();
  }

  /** Frames on their way down, before the hypervisor. */
  get unread(): number {
    return this.#qdisc.length + this.ring.length;
  }

  /** Empties the qdisc. */
  flush(): void {
    while (this.#qdisc.length > 0) this.#dequeue();
  }

  recall(): Unread {
    this.flush(); // as long as it takes
    const ring = this.ring.splice(0);
    const taken = ring.length === 0 ? undefined : this.#shadow.at(-ring.length - 1);
    this.#shadow = taken === undefined ? [] : [taken];
    this.#ringIsEmpty();
    this.#read = 0;
    this.#recalled = true;
    return { taken: taken && stored(taken), ring: ring.map(stored) };
  }

  readSinceRecall(): number {
    return this.#read;
  }

  #ringIsEmpty(): boolean {
    if (this.ring.length > 0) return false;
    this.#unread = this.#sentinelsUnread = 0;
    return true;
  }

  beginHold(): void {
    this.#recalled = false;
    this.#droppedAtHold = this.#txDropped;
    this.#sentinelSent = false;
    this.#mayHaveOverrun = false;
    this.#base += this.#takenDrops + this.#pendingDrops;
    this.#takenDrops = this.#pendingDrops = 0;
  }

  sendSentinel(list: FrameList): boolean {
    const room = this.#sentinelsUnread < SENTINEL_RESERVE || this.#ringIsEmpty();
    this.#sentinelSent = room;
    if (!room) return false;
    this.put(this.#wireOf(list, 0));
    if (this.#recalled) this.flush();
    this.#sentinelsUnread++;
    return true;
  }

  downEvidence(): DownEvidence {
    return {
      sentinelSent: this.#sentinelSent,
      sendQueueBytes: this.#qdisc.reduce((sum, { bytes }) => sum + bytes.length, 0),
      ringEmpty: this.#ringIsEmpty(),
      droppedSinceHold: this.#txDropped - this.#droppedAtHold,
      cookie: 'unasked',
      recalled: 0,
    };
  }

  upEvidence(): UpEvidence {
    this.#takenDrops += this.#pendingDrops;
    this.#pendingDrops = 0;
    return {
      deviceFrames: this.#rxPackets - this.#base,
      receivedFrames: this.#received,
      socketDrops: this.#takenDrops,
      queueEmpty: this.arrived.length === 0,
      mayHaveOverrun: this.#mayHaveOverrun,
    };
  }

  close(): void {
    this.closed = true;
  }
}
