/**
 * What a network is: segments, guests with NICs on them, and ports that lead elsewhere. This is the resolved form:
 * every default filled in, every path absolute, every MAC given. It is what a checkpoint stores and a restart reads.
 */
import type { PortId } from '../frame/types.js';

/** Ports a network has at most: NICs and others together. */
export const MAX_NETWORK_PORTS = 1024;

export interface SegmentDefinition {
  /** 01-80-C2-00-00-0x (LLDP, LACP, STP): passed on like any multicast (labs want it), or dropped as 802.1D says. */
  readonly reservedMulticast: 'forward' | 'drop';
  /** Seconds after which a station not heard is forgotten. */
  readonly ageingSeconds: number;
}

export interface NicDefinition {
  /** Second half of the port's identity; unique in the guest. */
  readonly name: string;
  readonly segment: string;
  /** Lower-case, colon-separated, unicast. */
  readonly mac: string;
  /** Bytes, 576..9216. */
  readonly mtu: number;
  /** Access VLAN 1..4094: the guest sees untagged frames. Absent: tags pass as they are. */
  readonly vlan?: number;
  /** QEMU device model. */
  readonly model: string;
  /** What carries its frames; absent: `tap`. */
  readonly transport?: NicTransport;
}

/** `tap`: a TAP device; needs root. `dgram`: a pair of unix datagram sockets; anyone can, but without offloads. */
export const NIC_TRANSPORTS = ['tap', 'dgram'] as const;
export type NicTransport = (typeof NIC_TRANSPORTS)[number];

interface CommonGuest {
  /** `unmanaged`: the user keeps writable disks consistent. */
  readonly disks?: 'unmanaged';
}

/** A QEMU that Stillwire starts and ends. */
export interface QemuDefinition extends CommonGuest {
  /** QEMU binary, absolute. */
  readonly qemu: string;
  readonly accel: 'kvm' | 'tcg';
  readonly machine: string;
  readonly cpu?: string;
  /** 1..255. */
  readonly cpus: number;
  /** MiB, 16..1048576. */
  readonly memory: number;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  /** Unix socket of the serial console, absolute, at most 107 bytes. Absent: no console socket. */
  readonly console?: string;
  /** File that everything the guest prints on its console is appended to. */
  readonly consoleLog?: string;
  /** Further QEMU arguments, the user's own. A netdev among them is outside the cut. */
  readonly args: readonly string[];
  readonly nics: readonly NicDefinition[];
  /** It runs under DMTCP, and its state is an image of its process. Absent: QEMU saves its state itself. */
  readonly dmtcp?: DmtcpSettings;
}

/** How DMTCP runs a guest. */
export interface DmtcpSettings {
  /** `host:port` of a coordinator that runs already. Absent: one of the network's own. */
  readonly coordinator?: string;
  /** Namespace its process is in: a name under /run/netns or a path. Its TAPs are in the network's all the same. Absent: ours. */
  readonly netns?: string;
  /** Shared objects, absolute, that are loaded before ours, in this order; a KVM plugin, for instance. */
  readonly plugins: readonly string[];
  /** Compress images; slow, and the guest stands still meanwhile. */
  readonly gzip: boolean;
  /** A copy of the process writes the image, and the guest runs on. */
  readonly forked: boolean;
  /** What the guest does when DMTCP checkpoints it and this daemon does not answer: go on without it, or wait for it. */
  readonly unreachable: 'go' | 'wait';
}

/** A NIC of an adopted guest: a TAP that is there already. */
export interface AdoptedNic extends Omit<NicDefinition, 'model' | 'mac' | 'transport'> {
  /** Name of the TAP's netdev. */
  readonly device: string;
}

/** A QEMU that somebody else has started: held, stopped, saved and resumed in place, and let go at the end. */
export interface AdoptedDefinition extends CommonGuest {
  readonly adopt: {
    /** The QMP socket it listens on (server=on), absolute; nobody else may be connected. */
    readonly qmp: string;
    /** Program and arguments that start it again, waiting for its saved state. Absent: it cannot be restarted. */
    readonly restart?: readonly string[];
  };
  readonly nics: readonly AdoptedNic[];
}

export type GuestDefinition = QemuDefinition | AdoptedDefinition;

/** What carries a NIC's frames; those of an adopted guest are TAPs. */
export const transportOf = (nic: NicDefinition | AdoptedNic): NicTransport =>
  ('transport' in nic ? nic.transport : undefined) ?? 'tap';

/** A QEMU under DMTCP. */
export type DmtcpDefinition = QemuDefinition & { readonly dmtcp: DmtcpSettings };

export const isDmtcp = (guest: GuestDefinition): guest is DmtcpDefinition => 'dmtcp' in guest;

export const isAdopted = (guest: GuestDefinition): guest is AdoptedDefinition => 'adopt' in guest;

/** A port that leads out of the cut: a veth to the host. */
export interface ExternalPortDefinition {
  readonly kind: 'external';
  readonly segment: string;
  /** Name of the interface on the host's side. */
  readonly device: string;
  /** Addresses in CIDR form put on the host's side. */
  readonly addresses: readonly string[];
  readonly mtu: number;
  readonly vlan?: number;
}

/** A plain TAP whose netdev goes into a container or namespace; Stillwire keeps the file descriptor. */
export interface DevicePortDefinition {
  readonly kind: 'device';
  readonly segment: string;
  /** Name of the netdev. */
  readonly device: string;
  /** Namespace it is moved into: a name under /run/netns or a path such as /proc/123/ns/net. Absent: the host's. */
  readonly netns?: string;
  /** As a NIC's. The network file always gives one (derived when not written), so that a restart finds the same. */
  readonly mac?: string;
  readonly addresses: readonly string[];
  readonly mtu: number;
  readonly vlan?: number;
}

/** A unix datagram socket of ours: for anything that sends and takes one frame per datagram. */
export interface DgramPortDefinition {
  readonly kind: 'dgram';
  readonly segment: string;
  /** Our socket, made when the network is: absolute, at most 107 bytes. */
  readonly path: string;
  /** The socket that frames go to, likewise; it need not be there yet. */
  readonly peer: string;
  readonly mtu: number;
  readonly vlan?: number;
}

export type PortDefinition = ExternalPortDefinition | DevicePortDefinition | DgramPortDefinition;

export interface NetworkDefinition {
  readonly network: string;
  readonly segments: Readonly<Record<string, SegmentDefinition>>;
  readonly guests: Readonly<Record<string, GuestDefinition>>;
  readonly ports: Readonly<Record<string, PortDefinition>>;
}

/** A network as its file describes it. */
export interface NetworkFile {
  /** Absolute path of the file. */
  readonly path: string;
  readonly definition: NetworkDefinition;
  /** Where its checkpoints go, absolute; absent: the usual place. */
  readonly checkpoints?: string;
}

/** The first port that takes root to make, with what it is in words; undefined when anyone can open the network. */
export function privilegedPort({ guests, ports }: NetworkDefinition): string | undefined {
  for (const [guest, { nics }] of Object.entries(guests)) {
    const tap = nics.find((nic) => transportOf(nic) === 'tap');
    if (tap !== undefined) return `${nicPort(guest, tap.name)} is a TAP`;
  }
  const other = Object.entries(ports).find(([, { kind }]) => kind !== 'dgram');
  return other && `${other[0]} is a port of kind ${other[1].kind}`;
}

/** Identity of a guest's port. */
export const nicPort = (guest: string, nic: string): PortId => `${guest}/${nic}`;
