/**
 * Who can answer a cookie behind each port: IPv4 addresses, and whether an echo agent is there.
 *
 * An address is learned from ARP alone, where its owner speaks for itself: a sender address, from the MAC that the frame
 * is from. IPv4 traffic says nothing: what a router forwards has addresses of others. An address that a guest is still
 * checking (its own probe, RFC 5227, 2.1.1) is not its address yet, and is forgotten if it was known: a probe of ours
 * would tell the guest that somebody else wants it too. It is known again when the guest uses it.
 *
 * Bounded: a port has PER_PORT of the most recent addresses, whatever its guest sends.
 */
import { ARP_REPLY, ARP_REQUEST, type Arp } from '../frame/arp.js';
import { formatIpv4 } from '../frame/address.js';

/** Addresses known on one port; a cookie is at most one frame more. */
export const PER_PORT = 8;
/** An agent says every five seconds that it is there; one not heard for this long has ended. */
const AGENT_MS = 60_000;

interface Known {
  readonly vlan: number;
  readonly ip: number;
}

/** An answer to be had on a port. */
export interface Answerer {
  /** Number of the port. */
  readonly port: number;
  /** Tag the address was learned under, 0 for none. */
  readonly vlan: number;
  /** Absent: an echo agent. */
  readonly ip?: string;
}

/** Nobody's own: this network, loopback, multicast, reserved, broadcast (RFC 6890). */
function isUsable(ip: number): boolean {
  const first = ip >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

export class AddressTable {
  /** By port, the most recent last. */
  readonly #known: (Known[] | undefined)[] = [];
  /** When the agent of a port was last heard, milliseconds. */
  readonly #agents = new Map<number, number>();

  /** Takes note of what an ARP packet from `source` says. @param vlan the tag on the port's side, 0 for none */
  learn(port: number, vlan: number, source: number, arp: Arp): void {
    const { operation, senderIp } = arp;
    if (senderIp === 0) {
      if (operation === ARP_REQUEST) this.#forget(port, vlan, arp.targetIp);
    } else if (arp.senderMac === source && (operation === ARP_REQUEST || operation === ARP_REPLY)) {
      this.#note(port, vlan, senderIp);
    }
  }

  #note(port: number, vlan: number, ip: number): void {
    if (!isUsable(ip)) return;
    const known = (this.#known[port] ??= []);
    const last = known.at(-1);
    if (last?.ip === ip && last.vlan === vlan) return;
    this.#forget(port, vlan, ip);
    known.push({ vlan, ip });
    if (known.length > PER_PORT) known.shift();
  }

  #forget(port: number, vlan: number, ip: number): void {
    const known = this.#known[port];
    const at = known?.findIndex((entry) => entry.ip === ip && entry.vlan === vlan) ?? -1;
    if (at >= 0) known?.splice(at, 1);
  }

  /** An echo agent has spoken on this port. */
  noteAgent(port: number, now: number): void {
    this.#agents.set(port, now);
  }

  hasAgent(port: number, now: number): boolean {
    const heard = this.#agents.get(port);
    return heard !== undefined && now - heard <= AGENT_MS;
  }

  /** Addresses of a port, the most recent first. */
  of(port: number): Known[] {
    return (this.#known[port] ?? []).toReversed();
  }

  forgetPort(port: number): void {
    this.#known[port] = undefined;
    this.#agents.delete(port);
  }

  /** Everybody; given back to {@link restore} in this order, the table is the same again. */
  answerers(now: number): Answerer[] {
    const addresses = this.#known.flatMap((known = [], port) =>
      known.map(({ vlan, ip }) => ({ port, vlan, ip: textOf(ip) })),
    );
    const agents = [...this.#agents.keys()].filter((port) => this.hasAgent(port, now));
    return [...agents.map((port) => ({ port, vlan: 0 })), ...addresses];
  }

  restore({ port, vlan, ip }: Answerer, now: number): void {
    if (ip === undefined) this.noteAgent(port, now);
    else this.#note(port, vlan, numberOf(ip));
  }
}

function textOf(ip: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(ip);
  return formatIpv4(bytes, 0);
}

const numberOf = (ip: string): number => Buffer.from(ip.split('.').map(Number)).readUInt32BE();
