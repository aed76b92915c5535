/**
 * The soak's load: every kind of traffic that a network of machines has, each in a lane of its own and judged by itself.
 *
 *   main        UDP of 64 to 1,200 bytes and a bulk TCP stream in every direction, IPv4 and IPv6; short TCP connections
 *   fragments   UDP of 1,400 to 8,900 bytes over an MTU of 1,500: most of it in fragments
 *   jumbo       UDP of 64 to 8,900 bytes and a bulk stream over a second NIC, MTU 9,000
 *   multicast   UDP to a group, which the guests have joined by IGMP and MLD
 *   vlan        UDP and a bulk stream over an 802.1Q device: TCP super-frames with a tag
 *   churn       all resolved neighbours forgotten again and again: ARP and ND
 *
 * The rates are moderate: two cores carry three emulated guests with all of it, and have time to take checkpoints.
 */
import type { Carried } from './tally.js';
import type { Load, TestGuest } from './traffic-network.js';

export const PARTS = ['short', 'fragments', 'jumbo', 'multicast', 'vlan', 'churn'] as const;
export type Part = (typeof PARTS)[number];

/** What the lane of a part carries; `short` and `churn` have none of their own. */
export const LANES = {
  main: { udp: true, tcp: true },
  fragments: { udp: true, tcp: false },
  jumbo: { udp: true, tcp: true },
  multicast: { udp: true, tcp: false },
  vlan: { udp: true, tcp: true },
} as const satisfies Readonly<Record<string, Carried>>;
export type Lane = keyof typeof LANES;

export const MIXED_LOAD: Load = { udpRate: 200, tcpRate: '100k' };
/** More would be more flows than a generator has room for. */
export const MIXED_GUESTS_MAX = 9;
const JUMBO_MTU = 9000;
const VLAN = 10;

/** `10.NET.0.N/fd0NET::N` of guest N. */
const addresses = (net: number, n: number): string => `10.${net}.0.${n}/fd0${net}::${n}`;
const peersOn = (net: number, all: readonly number[], me: number): string =>
  all
    .filter((n) => n !== me)
    .map((n) => `g${n}=${addresses(net, n)}`)
    .join(',');
const configured = (device: string, net: number, n: number): string =>
  `${device},10.${net}.0.${n}/24,fd0${net}::${n}/64`;

function lanesOf(parts: ReadonlySet<Part>, all: readonly number[], me: number): string[] {
  const lane: Record<Part, string> = {
    short: '--short-rate 5',
    churn: '--churn 700',
    fragments: '--lane fragments --udp-rate 15 --udp-size 1400-8900',
    jumbo: `--lane jumbo --peers ${peersOn(2, all, me)} --udp-rate 25 --udp-size 64-8900 --tcp-rate 50k`,
    multicast: '--lane multicast --group 239.7.7.7/ff15::7 --device eth0 --udp-rate 25',
    vlan: `--lane vlan --peers ${peersOn(3, all, me)} --udp-rate 25 --tcp-rate 100k`,
  };
  // Those of the lane `main` first: an option is the lane's that was opened last.
  const order: readonly Part[] = ['short', 'churn', 'fragments', 'jumbo', 'multicast', 'vlan'];
  return order.filter((part) => parts.has(part)).flatMap((part) => lane[part].split(' '));
}

/** `count` guests g1, g2, … with these parts of the load beside the lane `main`. */
export function mixedGuests(count: number, wanted: readonly Part[] = PARTS): Record<string, TestGuest> {
  const parts = new Set(wanted);
  const all = Array.from({ length: count }, (_, i) => i + 1);
  const guest = (n: number): TestGuest => ({
    segments: parts.has('jumbo') ? ['lan', 'jumbo'] : ['lan'],
    mtu: { jumbo: JUMBO_MTU },
    parameters: [
      `sw.if=${configured('eth0', 1, n)}`,
      ...(parts.has('jumbo') ? [`sw.mtu=eth1,${JUMBO_MTU}`, `sw.if=${configured('eth1', 2, n)}`] : []),
      ...(parts.has('vlan') ? ['sw.modules=8021q', `sw.vlan=${configured(`eth0.${VLAN}`, 3, n)}`] : []),
    ],
    peers: Object.fromEntries(all.filter((m) => m !== n).map((m) => [`g${m}`, addresses(1, m)])),
    lanes: lanesOf(parts, all, n),
  });
  return Object.fromEntries(all.map((n) => [`g${n}`, guest(n)]));
}
