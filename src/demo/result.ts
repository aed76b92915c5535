/** What a traffic generator reports: STATUS at any time, RESULT after `finish`. See guest-image/README.md. */
import { z } from 'zod';
import { StillwireError } from '../errors/index.js';
import { GuestConsole, type Patience } from './guest-console.js';

const count = z.int().min(0);
const known = count.nullable();
/** The lane is `main` when none is told. */
const flow = { peer: z.string(), family: z.literal([4, 6]), lane: z.string().exactOptional() };

/** Short connections of one end: those the guest made, or those it served. */
const shorts = z.object({
  opened: count,
  completed: count,
  refused: count,
  timedOut: count,
  broken: count,
  damaged: count,
  synRetransmits: count,
  realRetransmits: count,
});
const counters = z.record(z.string(), z.int());

const schema = z.object({
  guest: z.string(),
  complete: z.boolean(),
  /** What came in from each peer. */
  udp: z.array(
    z.object({
      ...flow,
      sent: known,
      received: count,
      duplicated: count,
      reordered: count,
      damaged: count,
      tooOld: count,
    }),
  ),
  tcp: z.array(z.object({ ...flow, bytes: count, sent: known, intact: z.boolean().nullable() })),
  /** What went out to each peer. */
  out: z.array(
    z.object({
      ...flow,
      datagrams: count,
      bytes: count,
      largestGapMs: z.number(),
      /** TCP segments of the stream sent again, and of those the receiver had already. */
      retransmitted: count.exactOptional(),
      unneeded: count.exactOptional(),
    }),
  ),
  short: z.array(z.object({ ...flow, made: shorts, served: shorts.extend({ told: known }) })).exactOptional(),
  /** Times that the guest forgot its neighbours, and how many. */
  churn: z.object({ flushes: count, forgotten: count }).exactOptional(),
  /** Longest time between two datagrams of any of its flows, by the guest's own monotonic clock. */
  largestGapMs: z.number(),
  realRetransmits: z.int(),
  tcpCounters: z.object({ TCPFastRetrans: count }).catchall(z.int()),
  udpCounters: counters.exactOptional(),
  ipCounters: counters.exactOptional(),
  linkCounters: counters.exactOptional(),
});

export type GuestResult = z.infer<typeof schema>;

/** All of the guest's own counters. */
export const countersOf = ({
  tcpCounters,
  udpCounters = {},
  ipCounters = {},
  linkCounters = {},
}: GuestResult): Readonly<Record<string, number>> => ({
  ...tcpCounters,
  ...udpCounters,
  ...ipCounters,
  ...linkCounters,
});

/** @throws StillwireError GUEST_FAILED when it is no report */
export function parseResult(guest: string, text: string): GuestResult {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const words = `guest ${guest} reported what is no result: ${text.slice(0, 200)}`;
    throw new StillwireError('GUEST_FAILED', words, { guest }, error);
  }
}

/** How often a guest is asked whose answer cannot be read: the console's log, not the answer, may be damaged. */
const ASKED_AT_MOST = 3;

/**
 * Where the guests' traffic stands.
 * @throws StillwireError TIMED_OUT; GUEST_FAILED when no answer can be read
 */
export function askStatus(consoles: readonly GuestConsole[], patience: Patience): Promise<GuestResult[]> {
  return Promise.all(consoles.map((each) => askOne(each, patience)));
}

async function askOne(console: GuestConsole, patience: Patience): Promise<GuestResult> {
  for (let asked = 1; ; asked++) {
    const answer = await console.ask('status', 'STATUS', patience);
    try {
      return parseResult(console.guest, answer);
    } catch (error) {
      if (asked === ASKED_AT_MOST) throw error;
    }
  }
}

/** Ends the traffic and collects the final figures. All guests are told before any is waited for. */
export async function finishTraffic(
  consoles: readonly GuestConsole[],
  patience: Patience,
): Promise<GuestResult[]> {
  await Promise.all(consoles.map((each) => each.type('finish')));
  return Promise.all(
    consoles.map(async (each) => parseResult(each.guest, await each.said('RESULT', patience))),
  );
}

/** Waits until every flow between the guests has carried data. */
export async function trafficRuns(consoles: readonly GuestConsole[], patience: Patience): Promise<void> {
  await Promise.all(consoles.map((each) => each.said('RUNNING', patience)));
}
