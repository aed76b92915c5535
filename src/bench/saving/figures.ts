/** One measurement of a saver: a network booted, saved in place, saved and killed, brought back, and its account. */
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestResult } from '../../demo/result.js';
import { tallyUp } from '../../demo/tally.js';
import type { Ground } from '../ground.js';
import type { SavingLab } from './lab.js';
import { silenceDuring } from './silence.js';
import { allAnswer, reports, trafficRuns } from './voices.js';

/** What one measurement gave. */
export interface SavingFigures {
  /** Largest gap between two datagrams of a flow, by its sender's own clock: before the first checkpoint, and after it. */
  readonly gapBeforeMs: number;
  readonly gapMs: number;
  /** Longest silence of a guest around the first checkpoint, by the host's clock. */
  readonly silenceMs: number;
  /** From the command until the checkpoint is there. */
  readonly totalMs: number;
  /** From the command until every guest has answered on its console; null: not within the bound. */
  readonly restartMs: number | null;
  /** A datagram has arrived after the restart. */
  readonly networkLives: boolean;
  /** Over both checkpoints and the restart; null when the guests told nothing in the end. */
  readonly datagrams: {
    readonly sent: number;
    readonly lost: number;
    readonly duplicated: number;
    readonly reordered: number;
  } | null;
  readonly tcp: { readonly intact: boolean; readonly realRetransmits: number };
  /** What else was not as it should be, in words. */
  readonly faults: readonly string[];
}

const BOOT_MS = 180_000;
const ANSWER_MS = 30_000;
/** Traffic before a checkpoint, after it, and after the restart. */
const FLOW_MS = 1500;
const NOTHING = { sent: 0, lost: 0, duplicated: 0, reordered: 0 };

const largestGap = (told: readonly GuestResult[]): number =>
  Math.max(...told.map(({ largestGapMs }) => largestGapMs));
const received = (told: readonly GuestResult[]): number =>
  told.flatMap(({ udp }) => udp).reduce((sum, flow) => sum + flow.received, 0);

/** @param silence the program of bench/silence.c */
export async function measureSaving(ground: Ground, silence: string, lab: SavingLab): Promise<SavingFigures> {
  const { consoles, namespace } = lab;
  const { signal } = ground;
  const patience = { withinMs: ANSWER_MS, signal };
  const status = (): Promise<GuestResult[]> => reports(consoles, ['status', 'STATUS'], patience);
  const flow = (): Promise<void> => delay(FLOW_MS, undefined, { signal });
  await lab.up();
  await trafficRuns(consoles, { withinMs: BOOT_MS, signal });
  await flow();
  const gapBeforeMs = largestGap(await status());
  const [silenceMs, [totalMs, first]] = await silenceDuring(ground, silence, namespace, async () => {
    await flow();
    const saved = await timed(() => lab.save(false));
    await flow();
    return saved;
  });
  const gapMs = largestGap(await status());
  const second = await lab.save(true);
  const [tookMs, answered] = await timed(async () => {
    await lab.restart();
    return allAnswer(consoles, patience);
  });
  const faults = [...first, ...second];
  const told = { gapBeforeMs, gapMs, silenceMs, totalMs };
  if (!answered) {
    const tcp = { intact: false, realRetransmits: 0 };
    return { ...told, restartMs: null, networkLives: false, datagrams: null, tcp, faults };
  }
  const atRestart = received(await status());
  await flow();
  const networkLives = received(await status()) > atRestart;
  const final = await reports(consoles, ['finish', 'RESULT'], { ...patience, withinMs: BOOT_MS });
  const tally = tallyUp(final);
  const { udp, tcp } = tally;
  if (networkLives) faults.push(...tally.faults);
  return { ...told, restartMs: tookMs, networkLives, datagrams: { ...NOTHING, ...udp }, tcp, faults };
}

async function timed<T>(what: () => Promise<T>): Promise<[ms: number, result: T]> {
  const began = performance.now();
  const result = await what();
  return [performance.now() - began, result];
}
