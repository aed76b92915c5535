/**
 * What the main thread asks of the switch thread. Commands are posted and an eventfd is signalled; the switch takes
 * them between two bursts and posts the answer. An answer to `hold` is therefore a guarantee, not a promise.
 *
 * Every command that concerns a hold carries its epoch (fencing): once a hold has ended, nothing done in its name
 * has any effect but HOLD_EXPIRED.
 */
import type { InflightFrame, PortId } from '../frame/types.js';
import type { PortLedger } from './ledger.js';
import type { AddressOnPort } from './markers.js';
import type { SegmentSettings } from './members.js';
import type { RecallOrder } from './recall.js';
import type { StationOnPort } from './stations.js';
import type { RawEvidence } from './switch.js';

interface PortSpec {
  readonly id: PortId;
  readonly segment: string;
  /** Netdev name. */
  readonly device: string;
  readonly mtu: number;
  /** Access VLAN; 0 for none. */
  readonly vlan: number;
}

/** Our descriptors of both ends of a datagram pair: the switch's, and the hypervisor's. */
export interface DatagramEnds {
  readonly socket: number;
  readonly otherEnd: number;
}

/** No argument: `{}`. */
type Nothing = Readonly<Record<string, never>>;

export interface Commands {
  addSegment: { ask: { name: string; settings: SegmentSettings }; answer: undefined };
  /** Creates a TAP in the switch's namespace. The answer is our descriptor, to be inherited by the hypervisor. */
  addTap: {
    /** `tunFd`: of a TAP that is there already, in use by its hypervisor; it is the switch's from then on. */
    ask: PortSpec & { tunFd?: number };
    answer: { tunFd: number };
  };
  /** Creates a TAP whose netdev lies in another namespace (a path; absent: the process's own); its descriptor. */
  addDevice: {
    /** `attach`: take up the persistent one, if it is there. */
    ask: PortSpec & { netns?: string; mac?: string; attach?: boolean };
    /** `found`: it was there, with its addresses. */
    answer: { tunFd: number; found: boolean };
  };
  /** Opens a datagram port on one end of a pair; the other end is for the hypervisor to inherit. */
  addPair: {
    /** `found`: a pair that is there already, in use by its hypervisor; it is the switch's from then on. */
    ask: Omit<PortSpec, 'device'> & { found?: DatagramEnds };
    answer: DatagramEnds;
  };
  /** Opens a datagram port on a socket of its own, bound to `path`, that sends to `peer`. */
  addDgram: { ask: Omit<PortSpec, 'device'> & { path: string; peer: string }; answer: undefined };
  /** Opens a device that is already in the switch's namespace. */
  addExternal: { ask: PortSpec; answer: undefined };
  removePort: { ask: { id: PortId }; answer: undefined };
  /** Stops all delivery. `at` in milliseconds of the monotonic clock. */
  hold: { ask: Nothing; answer: { epoch: number; at: number } };
  sentinels: { ask: { epoch: number; nonce: Uint8Array }; answer: undefined };
  /** Absent `ports`: all. */
  cookies: { ask: { epoch: number; nonce: Uint8Array; ports?: readonly PortId[] }; answer: undefined };
  recall: { ask: { epoch: number; ports: readonly RecallOrder[] }; answer: undefined };
  sweep: { ask: { epoch: number }; answer: undefined };
  evidence: { ask: { epoch: number }; answer: RawEvidence[] };
  mark: { ask: { epoch: number }; answer: MarkAnswer };
  /**
   * Frames of a mark, from number `from` on: some of them, so that traffic does not wait for their being copied; none
   * behind the last. They stay pinned until `unpin`.
   */
  frames: { ask: { mark: number; from: number }; answer: InflightFrame[] };
  unpin: { ask: { mark: number }; answer: undefined };
  release: { ask: { epoch: number }; answer: { at: number } };
  /** Puts back what a checkpoint saved; the network is held. */
  restore: {
    ask: {
      epoch: number;
      frames: readonly InflightFrame[];
      stations: readonly StationOnPort[];
      nonces: readonly Uint8Array[];
      cookies: readonly Uint8Array[];
      addresses: readonly AddressOnPort[];
    };
    answer: undefined;
  };
  ledger: { ask: Nothing; answer: { held: boolean; engine: string; ports: PortLedger[] } };
  capture: { ask: { on: boolean }; answer: undefined };
  /** A batch of captured frames has been taken. */
  captured: { ask: Nothing; answer: undefined };
  /** `leave`: as a crash would, with what is held still owed by the hold file. */
  close: { ask: { leave: boolean }; answer: undefined };
}

export interface MarkAnswer {
  readonly mark: number;
  readonly at: number;
  readonly frames: number;
  readonly bytes: number;
  readonly ledger: readonly PortLedger[];
  readonly stations: readonly StationOnPort[];
  readonly nonces: readonly Uint8Array[];
  readonly cookies: readonly Uint8Array[];
  readonly addresses: readonly AddressOnPort[];
}

export type CommandName = keyof Commands;

export interface Request {
  readonly id: number;
  readonly command: CommandName;
  readonly ask: unknown;
}

/** Unasked messages of the switch thread. */
export type Notice =
  | { readonly notice: 'ready' }
  /** A hold queue has reached its bound: end the hold. At twice the bound the switch ends it by itself. */
  | { readonly notice: 'overflow'; readonly epoch: number }
  /** The first frame left on the last port that had any; then: every queue has run empty. */
  | {
      readonly notice: 'released';
      readonly epoch: number;
      readonly startedAt: number | undefined;
      readonly drainedAt: number;
    }
  /** What is held would not survive the process: the hold file cannot take it. Once per hold; nothing is lost by it. */
  | { readonly notice: 'unsafe'; readonly reason: string }
  /** Captured frames. */
  | { readonly notice: 'captured'; readonly frames: CapturedFrame[]; readonly missed: number };

export interface CapturedFrame {
  readonly port: PortId;
  readonly timeNs: bigint;
  readonly bytes: Uint8Array;
}

export type Message =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: unknown }
  | Notice;
