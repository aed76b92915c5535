// @ts-check
/** The judgement on a run: what every receiver got, held against what the senders say they sent. */

/** @typedef {{ name: string, number: number, report: import('./traffic.mjs').Report }} Account */

/** What a machine sends to each other one, datagrams a second, while it runs. */
const LEAST_PER_SECOND = 500;

/** @param {readonly (string | number)[]} cells */
const row = (cells) =>
  cells.map((cell, i) => (i === 0 ? String(cell).padEnd(14) : String(cell).padStart(11))).join('');

/** @param {readonly Account[]} accounts @returns {{ table: string, sound: boolean }} */
export function judge(accounts) {
  const lines = [row(['from → to', 'sent', 'lost', 'duplicated', 'reordered'])];
  const total = { sent: 0, lost: 0, duplicated: 0, reordered: 0 };
  for (const from of accounts) {
    for (const to of accounts) {
      if (to === from) continue;
      const pair = judgePair(from, to);
      lines.push(row([`${from.name} → ${to.name}`, pair.sent, pair.lost, pair.duplicated, pair.reordered]));
      total.sent += pair.sent;
      total.lost += pair.lost;
      total.duplicated += pair.duplicated;
      total.reordered += pair.reordered;
    }
  }
  lines.push(row(['all', total.sent, total.lost, total.duplicated, total.reordered]), '');
  for (const { name, report } of accounts) {
    const { perSecond, largestGapMs, errors } = report;
    const gap = Math.round(largestGapMs);
    lines.push(
      `${name} sent ${Math.round(perSecond)} datagrams a second to each peer; largest gap ${gap} ms`,
    );
    lines.push(...new Set(errors.map((error) => `${name}: ${error}`)));
  }
  const clean = total.lost + total.duplicated + total.reordered === 0;
  const busy = accounts.every(({ report }) => report.perSecond >= LEAST_PER_SECOND);
  const sound = clean && busy && accounts.every(({ report }) => report.errors.length === 0);
  lines.push(sound ? 'every datagram arrived exactly once and in order' : 'FAILED');
  return { table: `\n${lines.join('\n')}`, sound };
}

/** All flows from one machine to another. @param {Account} from @param {Account} to */
function judgePair(from, to) {
  const pair = { sent: 0, lost: 0, duplicated: 0, reordered: 0 };
  for (const { kind, to: receiver, sent } of from.report.sent) {
    if (receiver !== 'all' && receiver !== to.number) continue;
    const flow = to.report.received.find((other) => other.kind === kind && other.from === from.number);
    pair.sent += sent;
    pair.lost += sent - (flow?.distinct ?? 0);
    pair.duplicated += flow?.duplicated ?? 0;
    pair.reordered += flow?.reordered ?? 0;
  }
  return pair;
}
