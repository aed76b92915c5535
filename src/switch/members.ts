/** The ports of a switch, by number and by name, the segments they are members of, and what is counted at each. */
import { StillwireError } from '../errors/index.js';
import type { PortId } from '../frame/types.js';
import type { FrameMemory } from '../port/batch.js';
import type { Port } from '../port/port.js';
import * as Row from './counters.js';
import { Egress } from './egress.js';
import type { HoldStore } from '../hold-queue/store.js';
import type { PortLedger } from './ledger.js';
import { MacTable } from './mac-table.js';

export interface SegmentSettings {
  readonly reservedMulticast: 'forward' | 'drop';
  readonly ageingSeconds: number;
}

export interface Segment {
  readonly name: string;
  readonly dropReserved: boolean;
  readonly table: MacTable;
  readonly members: readonly Member[];
}

export interface Member {
  /** The port's number: its row among the counters. */
  readonly index: number;
  readonly port: Port;
  readonly segment: Segment;
  /** Access VLAN, 0 when tags pass as they are. */
  readonly vlan: number;
  readonly row: Float64Array;
  readonly egress: Egress;
}

interface OwnSegment extends Segment {
  readonly members: Member[];
}

export class Members {
  readonly #counters: SharedArrayBuffer;
  readonly #memory: FrameMemory;
  readonly #store: HoldStore | undefined;
  readonly #segments = new Map<string, OwnSegment>();
  readonly #byIndex: (Member | undefined)[] = [];
  readonly #byId = new Map<PortId, Member>();
  /** Every port there ever was: a ledger without those that went would not come out. */
  readonly #accounts: { readonly id: PortId; readonly row: Float64Array }[] = [];

  constructor(counters: SharedArrayBuffer, memory: FrameMemory, store: HoldStore | undefined) {
    this.#counters = counters;
    this.#memory = memory;
    this.#store = store;
  }

  addSegment(name: string, settings: SegmentSettings): void {
    this.#segments.set(name, {
      name,
      dropReserved: settings.reservedMulticast === 'drop',
      table: new MacTable(settings.ageingSeconds * 1000),
      members: [],
    });
  }

  segment(name: string): Segment | undefined {
    return this.#segments.get(name);
  }

  segments(): Iterable<Segment> {
    return this.#segments.values();
  }

  /** @returns the port's number */
  add(port: Port, segmentName: string, vlan: number): number {
    const segment = this.#segments.get(segmentName);
    if (segment === undefined) throw new Error(`no segment ${segmentName}`);
    const index = this.#byIndex.length;
    if (index >= Row.MAX_PORTS) {
      throw new StillwireError(
        'USAGE',
        `${port.id}: a network has at most ${Row.MAX_PORTS} ports in its life`,
      );
    }
    const row = Row.counterRow(this.#counters, index);
    const egress = new Egress(port, vlan, row, this.#memory, this.#store?.log(port.id));
    const member = { index, port, segment, vlan, row, egress };
    this.#byIndex.push(member);
    this.#accounts.push({ id: port.id, row });
    this.#byId.set(port.id, member);
    segment.members.push(member);
    return index;
  }

  /** Its number is not given again. */
  remove(member: Member): void {
    const { table, members } = this.#segments.get(member.segment.name)!;
    table.forgetPort(member.index);
    members.splice(members.indexOf(member), 1);
    this.#byId.delete(member.port.id);
    this.#byIndex[member.index] = undefined;
  }

  /** Port number `index`; undefined when it has gone. */
  at(index: number): Member | undefined {
    return this.#byIndex[index];
  }

  get(id: PortId): Member | undefined {
    return this.#byId.get(id);
  }

  /** Those there are, as they came. */
  all(): Iterable<Member> {
    return this.#byId.values();
  }

  /** By number, with gaps where ports have gone. */
  get byIndex(): readonly (Member | undefined)[] {
    return this.#byIndex;
  }

  get count(): number {
    return this.#byId.size;
  }

  ledger(): PortLedger[] {
    return this.#accounts.map(({ id, row }) => Row.readLedger(id, row));
  }
}
