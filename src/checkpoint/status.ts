/** What runs, and what has passed. */
import { definedPorts } from '../image/index.js';
import { nicPort, privilegedPort, type NetworkDefinition } from '../definition/index.js';
import type { Guest } from '../guest/index.js';
import type { Network } from '../network/index.js';
import type { PortKind } from '../quiesce/index.js';
import type { PortLedger } from '../switch/index.js';

export interface NetworkStatus {
  readonly network: string;
  /** Absent for a network without devices. */
  readonly namespace?: string;
  readonly engine: string;
  readonly held: boolean;
  readonly guests: readonly GuestStatus[];
  readonly ports: readonly PortStatus[];
}

export interface GuestStatus {
  readonly name: string;
  readonly pid?: number;
  /** As the hypervisor tells it: running, paused, …; `ended`; `unknown` when it does not answer. */
  readonly state: string;
  readonly ports: readonly string[];
}

export interface PortStatus {
  readonly port: string;
  readonly kind: PortKind;
  readonly segment: string;
  readonly device?: string;
  readonly in: { readonly frames: number; readonly bytes: number; readonly discarded: number };
  /** `reasons`: of those dropped, how many for which (the ledger's); those that never came are left out. */
  readonly out: {
    readonly frames: number;
    readonly bytes: number;
    readonly dropped: number;
    readonly reasons: Readonly<Record<string, number>>;
  };
  /** Frames waiting in the port's queue. */
  readonly held: number;
}

const total = (terms: Readonly<Record<string, number>>): number =>
  Object.values(terms).reduce((a, b) => a + b, 0);

const given = (terms: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(terms).filter(([, count]) => count > 0));

export async function readStatus(network: Network, live: ReadonlyMap<string, Guest>): Promise<NetworkStatus> {
  const { definition } = network;
  const { held, engine, ports } = await network.ledger();
  const guests = Object.entries(definition.guests).map(async ([name, { nics }]): Promise<GuestStatus> => {
    const guest = live.get(name);
    const state = guest === undefined ? 'ended' : await guest.runState().catch(() => 'unknown');
    const pid = guest?.pid === undefined ? {} : { pid: guest.pid };
    return { name, state, ...pid, ports: nics.map((nic) => nicPort(name, nic.name)) };
  });
  return {
    network: definition.network,
    ...(privilegedPort(definition) === undefined ? {} : { namespace: network.namespace }),
    engine,
    held,
    guests: await Promise.all(guests),
    ports: ports.map((ledger) => portStatus(definition, ledger)),
  };
}

function portStatus(definition: NetworkDefinition, { port, ingress, egress }: PortLedger): PortStatus {
  const [guest = '', nicName = ''] = port.split('/');
  const nic = definition.guests[guest]?.nics.find(({ name }) => name === nicName);
  const other = definition.ports[port];
  return {
    port,
    kind: definedPorts(definition).get(port) ?? 'tap',
    segment: nic?.segment ?? other?.segment ?? '',
    ...(other === undefined || other.kind === 'dgram' ? {} : { device: other.device }),
    in: { frames: ingress.received, bytes: ingress.bytes, discarded: total(ingress.discarded) },
    out: {
      frames: egress.sent,
      bytes: egress.bytes,
      dropped: total(egress.dropped),
      reasons: given(egress.dropped),
    },
    held: egress.held,
  };
}
