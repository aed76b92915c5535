/** What the guests of this trial run, and what they report: one generator each, or both ends in a single guest. */
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestConsole, Patience } from '../../demo/guest-console.js';
import { parseResult, type GuestResult } from '../../demo/result.js';
import { flatGuests, type Load, type TestGuest } from '../../demo/traffic-network.js';
import { GUEST_LOOP } from '../guest-image.js';

export const LOAD: Load = { udpRate: 200, tcpRate: '100k' };

/** How often a guest that was restarted is asked. */
const ASK_MS = 100;

/** Generators in each of so many guests. */
export const voicesIn = (guests: number): number => (guests === 1 ? 2 : 1);

/**
 * So many guests. A single one has nobody to send to: it has two NICs on the segment and both ends.
 * @param options further arguments of each generator
 */
export function savedGuests(count: number, options: readonly string[]): Record<string, TestGuest> {
  if (count > 1) {
    const flat = Object.entries(flatGuests(count));
    return Object.fromEntries(flat.map(([name, guest]) => [name, { ...guest, lanes: options }]));
  }
  const rates = ['--udp-rate', String(LOAD.udpRate), '--tcp-rate', LOAD.tcpRate];
  const run = `sw.run=${[GUEST_LOOP, ...rates, ...options].join('+')}`;
  const parameters = ['sw.if=eth0,10.1.0.1/24,fd01::1/64', run];
  return { g1: { segments: ['lan', 'lan'], parameters } };
}

/** Says a word to every guest and takes what each generator answers, in lines that begin with `answer`. */
export async function reports(
  consoles: readonly GuestConsole[],
  [word, answer]: readonly ['status', 'STATUS'] | readonly ['finish', 'RESULT'],
  patience: Patience,
): Promise<GuestResult[]> {
  const voices = [...Array(voicesIn(consoles.length)).keys()];
  const before = await Promise.all(consoles.map((each) => saidSoFar(each, answer)));
  await Promise.all(consoles.map((each) => each.type(word)));
  const all = await Promise.all(
    consoles.flatMap((each, i) =>
      voices.map(async (voice) =>
        parseResult(each.guest, await each.said(answer, patience, before[i]! + voice)),
      ),
    ),
  );
  return all;
}

const saidSoFar = async (console: GuestConsole, word: string): Promise<number> =>
  (await console.lines()).filter((line) => line.startsWith(`${word} `)).length;

/** Waits until every flow has carried data. */
export async function trafficRuns(consoles: readonly GuestConsole[], patience: Patience): Promise<void> {
  const last = voicesIn(consoles.length) - 1;
  await Promise.all(consoles.map((each) => each.said('RUNNING', patience, last)));
}

/**
 * Asks every guest until it answers: its console may not be there yet.
 * @returns whether all have within the bound
 */
export async function allAnswer(
  consoles: readonly GuestConsole[],
  { withinMs, signal }: Patience,
): Promise<boolean> {
  const end = performance.now() + withinMs;
  const voices = voicesIn(consoles.length);
  const answers = async (each: GuestConsole): Promise<boolean> => {
    const before = await saidSoFar(each, 'STATUS');
    while (performance.now() < end) {
      await each.type('status').catch(() => undefined);
      await delay(ASK_MS, undefined, { signal });
      if ((await saidSoFar(each, 'STATUS')) >= before + voices) return true;
    }
    return false;
  };
  return (await Promise.all(consoles.map(answers))).every(Boolean);
}
