/** The mark: the in-flight set as it was at one moment, and what a restart has to know besides. */
import type { PortId } from '../frame/types.js';
import type { PortLedger } from './ledger.js';
import type { AddressOnPort, Markers } from './markers.js';
import type { Members } from './members.js';
import type { HeldFrame } from '../hold-queue/queue.js';
import { stationsOf, type StationOnPort } from './stations.js';

/** Stations a mark takes along; what is left out is flooded for once after a restart. All must fit a manifest. */
const STATIONS_SAVED = 16_384;

/** A frame and the ports in whose queues it lies. */
interface MarkedFrame {
  readonly frame: HeldFrame;
  readonly destinations: readonly PortId[];
}

/** The in-flight set as it was at one moment, pinned in memory while its frames go on their way. */
export interface Mark {
  readonly frames: readonly MarkedFrame[];
  readonly ledger: readonly PortLedger[];
  readonly stations: readonly StationOnPort[];
  /** Nonces still recognised. */
  readonly nonces: readonly Uint8Array[];
  readonly cookies: readonly Uint8Array[];
  readonly addresses: readonly AddressOnPort[];
}

/** What lies in the queues now, in order of arrival. */
function framesInQueues(members: Members): MarkedFrame[] {
  const destinations = new Map<HeldFrame, PortId[]>();
  for (const { port, egress } of members.all()) {
    for (const frame of egress.queue.frames()) {
      const known = destinations.get(frame);
      if (known === undefined) destinations.set(frame, [port.id]);
      else known.push(port.id);
    }
  }
  const frames = [...destinations].map(([frame, ports]) => ({ frame, destinations: ports }));
  return frames.sort((a, b) => a.frame.sequence - b.frame.sequence);
}

export function takeMark(members: Members, markers: Markers, now: number): Mark {
  return {
    frames: framesInQueues(members),
    ledger: members.ledger(),
    stations: stationsOf(members, now, Math.floor(STATIONS_SAVED / Math.max(1, members.count))),
    nonces: markers.nonces,
    cookies: markers.cookies.nonces,
    addresses: markers.answerers(now),
  };
}
