/** What carries frames between two ends: Stillwire, or a peer it is compared with. */
import { Ends } from './ends.js';
import type { Ground } from './ground.js';

/** What a row calls it. */
export type CarrierName =
  'Stillwire, TAP fd' | 'Stillwire, packet' | 'Linux bridge' | 'C loop' | 'vde_switch' | 'Open vSwitch';

export interface CarrierKind {
  readonly name: CarrierName;
  /** What its ports are, for people. */
  readonly ports: string;
  /** A short word for namespaces and devices. */
  readonly role: string;
  /** Devices in each end, so that it has twice as many ports; default 1. */
  readonly pairs?: number;
  /** It loses frames whose checksum or segmentation is left to the device. */
  readonly withoutOffloads?: boolean;
  /** Why it cannot be measured here; undefined when it can. */
  missing(): Promise<string | undefined>;
  /** Its version, for people. */
  version?(ground: Ground): Promise<string>;
  /**
   * Puts eth0 into both ends and carries frames between them until the ground is closed.
   * @returns the processes that do so; none when the kernel does
   */
  carry(ground: Ground, ends: Ends): Promise<readonly number[]>;
}

/** A carrier at work between its own two ends. */
export interface Carrier {
  readonly kind: Pick<CarrierKind, 'ports' | 'withoutOffloads'> & { readonly name: string };
  readonly ends: Ends;
  readonly processes: readonly number[];
}

/** Starts a carrier. @param traffic the program of bench/traffic.c */
export async function start(ground: Ground, traffic: string, kind: CarrierKind): Promise<Carrier> {
  const ends = await Ends.make(ground, traffic, kind.role, kind.pairs);
  const processes = await kind.carry(ground, ends);
  await ends.furnish({ without: kind.withoutOffloads ?? false });
  return { kind, ends, processes };
}
