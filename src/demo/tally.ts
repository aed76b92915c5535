/**
 * The judgement over the traffic of all guests together. Every flow's sender and receiver are held against each
 * other: what a receiver was told about totals counts only where the sender says the same.
 */
import { countersOf, type GuestResult } from './result.js';

export interface Tally {
  readonly udp: { sent: number; lost: number; duplicated: number; reordered: number };
  readonly tcp: { bytes: number; intact: boolean; realRetransmits: number };
  /** Of all senders. */
  readonly largestGapMs: number;
  /** What guests themselves dropped, in words: it was delivered to them. */
  readonly guestDrops: readonly string[];
  /** Ordered pairs of guests times two families. */
  readonly flows: number;
  /** What spoils the figures, in words: a flow without a report, a sender and a receiver that differ. */
  readonly faults: readonly string[];
}

type Flow = { readonly peer: string; readonly family: 4 | 6 };
const find = <T extends Flow>(flows: readonly T[], peer: string, family: number): T | undefined =>
  flows.find((each) => each.peer === peer && each.family === family);

/** In place of the stream of a lane without any. */
const NO_STREAM: GuestResult['tcp'][number] = { peer: '', family: 4, bytes: 0, sent: 0, intact: true };

/** What is expected to have flowed. */
export interface Carried {
  readonly udp: boolean;
  readonly tcp: boolean;
}

/** Judges final reports. Every guest is expected to have sent to and received from every other in both families. */
export function tallyUp(results: readonly GuestResult[], carried: Carried = { udp: true, tcp: true }): Tally {
  const udp = { sent: 0, lost: 0, duplicated: 0, reordered: 0 };
  const tcp = { bytes: 0, intact: true, realRetransmits: 0 };
  const faults = results.filter(({ complete }) => !complete).map(({ guest }) => `${guest} is not complete`);
  let flows = 0;
  for (const receiver of results) {
    tcp.realRetransmits += receiver.realRetransmits;
    for (const sender of results) {
      if (sender === receiver) continue;
      for (const family of [4, 6]) {
        flows++;
        const flow = `${sender.guest} → ${receiver.guest} IPv${family}`;
        const out = find(sender.out, receiver.guest, family);
        const datagrams = find(receiver.udp, sender.guest, family);
        const stream = carried.tcp ? find(receiver.tcp, sender.guest, family) : NO_STREAM;
        if (out === undefined || datagrams === undefined || stream === undefined) {
          faults.push(`${flow}: no report`);
          tcp.intact = false;
          continue;
        }
        udp.sent += out.datagrams;
        udp.lost += out.datagrams - datagrams.received;
        udp.duplicated += datagrams.duplicated;
        udp.reordered += datagrams.reordered;
        tcp.bytes += stream.bytes;
        if (stream.intact !== true || stream.bytes !== out.bytes) tcp.intact = false;
        if ((carried.udp && out.datagrams === 0) || (carried.tcp && out.bytes === 0)) {
          faults.push(`${flow}: nothing was sent`);
        }
        if (datagrams.damaged > 0) faults.push(`${flow}: ${datagrams.damaged} damaged datagrams`);
        if (datagrams.sent !== out.datagrams || stream.sent !== out.bytes) {
          faults.push(
            `${flow}: the receiver was told ${datagrams.sent ?? '?'} datagrams, sent were ${out.datagrams}`,
          );
        }
      }
    }
  }
  const largestGapMs = Math.max(0, ...results.map((each) => each.largestGapMs));
  return { udp, tcp, largestGapMs, guestDrops: guestDropsOf(results), flows, faults };
}

/** Those of a guest's counters that say that it dropped what it had got, or was about to send. */
const DROPS = [
  'QueueDrops',
  'DeviceDrops',
  'SoftnetDrops',
  'InDiscards',
  'OutDiscards',
  'RcvbufErrors',
  'UnresolvedDiscards',
];

const guestDropsOf = (results: readonly GuestResult[]): string[] =>
  results.flatMap((result) => {
    const counters = countersOf(result);
    return DROPS.filter((name) => (counters[name] ?? 0) > 0).map(
      (name) => `${result.guest} ${name} ${counters[name]!}`,
    );
  });

/** Whether nothing was lost, doubled, reordered, damaged or really sent again. */
export function isFaultless({ udp, tcp, faults }: Tally): boolean {
  const zeros = udp.lost === 0 && udp.duplicated === 0 && udp.reordered === 0 && tcp.realRetransmits === 0;
  return zeros && tcp.intact && faults.length === 0;
}

/** Datagrams a second of the flow that sent least between two reports `ms` apart. */
export function slowestFlow(
  before: readonly GuestResult[],
  after: readonly GuestResult[],
  ms: number,
): number {
  const rates = after.flatMap(({ guest, out }) =>
    out.map(({ peer, family, datagrams }) => {
      const earlier = find(before.find((each) => each.guest === guest)?.out ?? [], peer, family);
      return ((datagrams - (earlier?.datagrams ?? 0)) * 1000) / ms;
    }),
  );
  return Math.min(...rates);
}
