/** The judgement over a mixed load: each lane by itself, short connections, and whether there was what was asked for. */
import { LANES, type Lane, type Part } from './mixed-load.js';
import { countersOf, type GuestResult } from './result.js';
import { isFaultless, tallyUp } from './tally.js';

export interface LaneTally {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly damaged: number;
  readonly tcp: {
    readonly streams: number;
    readonly bytes: number;
    readonly intact: boolean;
    readonly realRetransmits: number;
  };
}

export interface ShortTally {
  readonly opened: number;
  readonly completed: number;
  readonly served: number;
  readonly refused: number;
  readonly timedOut: number;
  readonly broken: number;
  readonly damaged: number;
  readonly synRetransmits: number;
  readonly realRetransmits: number;
}

export interface MixedTally {
  readonly lanes: Readonly<Record<string, LaneTally>>;
  readonly short: ShortTally;
  readonly churn: { readonly flushes: number; readonly forgotten: number };
  /** The longest a sender stood still by its own clock: a starved machine's mark. */
  readonly largestGapMs: number;
  /** The guests' own counters since their traffic ran, added up: what they, not the network, did to frames. */
  readonly guestCounters: Readonly<Record<string, number>>;
  /** Everything that keeps this from being all zeros, in words. */
  readonly faults: readonly string[];
}

const sum = <T>(all: readonly T[], of: (each: T) => number): number =>
  all.reduce((total, each) => total + of(each), 0);

/** The reports as if there had been this lane alone. */
function onlyLane(results: readonly GuestResult[], lane: string): GuestResult[] {
  const its = <T extends { readonly lane?: string }>(flows: readonly T[]): T[] =>
    flows.filter((flow) => (flow.lane ?? 'main') === lane);
  return results.map((result) => {
    const out = its(result.out);
    const realRetransmits = sum(out, ({ retransmitted = 0, unneeded = 0 }) =>
      Math.max(0, retransmitted - unneeded),
    );
    return { ...result, udp: its(result.udp), tcp: its(result.tcp), out, realRetransmits };
  });
}

function laneTally(results: readonly GuestResult[], lane: Lane, faults: string[]): LaneTally {
  const reports = onlyLane(results, lane);
  const tally = tallyUp(reports, LANES[lane]);
  const { sent, lost, duplicated, reordered } = tally.udp;
  const datagrams = reports.flatMap(({ udp }) => udp);
  const streams = sum(reports, ({ tcp }) => tcp.length);
  faults.push(...tally.faults.map((fault) => `${lane}: ${fault}`));
  if (!isFaultless({ ...tally, faults: [] })) {
    const { intact, realRetransmits } = tally.tcp;
    const words = `${lost} lost, ${duplicated} duplicated, ${reordered} reordered`;
    faults.push(
      `${lane}: ${words}; TCP ${intact ? 'intact' : 'NOT INTACT'}, ${realRetransmits} real retransmits`,
    );
  }
  return {
    ...{ sent, received: sum(datagrams, ({ received }) => received), lost, duplicated, reordered },
    damaged: sum(datagrams, ({ damaged }) => damaged),
    tcp: { streams, ...tally.tcp },
  };
}

function shortTally(results: readonly GuestResult[], faults: string[]): ShortTally {
  const flows = results.flatMap(({ short = [] }) => short);
  const made = flows.map((flow) => flow.made);
  const served = flows.map((flow) => flow.served);
  const both = [...made, ...served];
  const tally: ShortTally = {
    opened: sum(made, ({ opened }) => opened),
    completed: sum(made, ({ completed }) => completed),
    served: sum(served, ({ completed }) => completed),
    refused: sum(made, ({ refused }) => refused),
    timedOut: sum(made, ({ timedOut }) => timedOut),
    broken: sum(both, ({ broken }) => broken),
    damaged: sum(both, ({ damaged }) => damaged),
    synRetransmits: sum(both, ({ synRetransmits }) => synRetransmits),
    realRetransmits: sum(both, ({ realRetransmits }) => realRetransmits),
  };
  const { opened, completed, realRetransmits } = tally;
  const unequal = flows.some((flow) => flow.served.completed !== flow.served.told);
  const spoilt = sum(
    [tally.refused, tally.timedOut, tally.broken, tally.damaged, realRetransmits],
    (count) => count,
  );
  if (opened !== completed || opened !== tally.served || unequal || spoilt > 0) {
    faults.push(`short connections: ${JSON.stringify(tally)}`);
  }
  return tally;
}

/** Judges final reports of guests whose load had these parts. */
export function tallyMixed(results: readonly GuestResult[], parts: readonly Part[]): MixedTally {
  const faults: string[] = [];
  const names = (Object.keys(LANES) as Lane[]).filter(
    (lane) => lane === 'main' || (parts as string[]).includes(lane),
  );
  const lanes = Object.fromEntries(names.map((lane) => [lane, laneTally(results, lane, faults)]));
  const short = shortTally(results, faults);
  const churns = results.flatMap(({ churn }) => churn ?? []);
  const churn = {
    flushes: sum(churns, ({ flushes }) => flushes),
    forgotten: sum(churns, ({ forgotten }) => forgotten),
  };
  const guestCounters: Record<string, number> = {};
  for (const result of results) {
    for (const [name, value] of Object.entries(countersOf(result))) {
      guestCounters[name] = (guestCounters[name] ?? 0) + value;
    }
  }
  // What was not there has not been tested.
  if (parts.includes('short') && short.opened === 0) faults.push('no short connection was opened');
  if (parts.includes('churn') && churn.forgotten === 0) faults.push('no neighbour was ever forgotten');
  if (parts.includes('fragments') && !((guestCounters['ReasmOKs'] ?? 0) > 0)) {
    faults.push('nothing was ever put together from fragments');
  }
  const largestGapMs = Math.max(0, ...results.map((each) => each.largestGapMs));
  return { lanes, short, churn, largestGapMs, guestCounters, faults: [...new Set(faults)] };
}
