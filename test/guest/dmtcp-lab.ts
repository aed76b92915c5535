/**
 * Networks of guests under a real DMTCP, and the checkpoints that DMTCP itself begins. Only the suite `dmtcp` has use for it.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import type { CheckpointReport } from '../../src/checkpoint/index.js';
import { flatGuests, isFaultless, type TrafficLab, verifyImage } from './traffic-lab.js';

/**
 * What flows from each guest to each other: as much in all, however many they are. On two processors that emulate four guests, more
 * than that overruns the guests' own socket buffers, which is no fault of the network's.
 */
export const loadOf = (guests: number): { udpRate: number; tcpRate: string } =>
  guests > 2 ? { udpRate: 100, tcpRate: '50k' } : { udpRate: 500, tcpRate: '250k' };
export const LOAD = loadOf(2);

/** How often each network is checkpointed in place and, as often, killed and restarted. */
export const ROUNDS = Number(process.env['STILLWIRE_DMTCP_ROUNDS'] ?? 2);

/**
 * A timer may begin a checkpoint while a guest boots. Its clock goes on meanwhile, since DMTCP saves a process and no machine:
 * a kernel that just then counts the interrupts of its timer finds them missing, and panics.
 */
const NO_TIMER_CHECK = 'no_timer_check';

type Settings = Readonly<Record<string, unknown>>;

/** Guests, or so many of them, of which the first ones are under DMTCP. @param dmtcp keys of the network file, for each */
export function underDmtcp(
  guests: number | ReturnType<typeof flatGuests>,
  under: number,
  dmtcp: Settings | ((index: number) => Settings) = {},
): ReturnType<typeof flatGuests> {
  return Object.fromEntries(
    Object.entries(typeof guests === 'number' ? flatGuests(guests) : guests).map(([name, guest], index) => [
      name,
      index < under
        ? {
            ...guest,
            parameters: [...guest.parameters, NO_TIMER_CHECK],
            dmtcp: typeof dmtcp === 'function' ? dmtcp(index) : dmtcp,
          }
        : guest,
    ]),
  );
}

/** The names of the TAPs that a process has open, as the kernel knows them, in the order of their descriptors. */
export function tapsOf(pid: number): string[] {
  const fds = readdirSync(`/proc/${pid}/fd`).filter(
    (fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === '/dev/net/tun',
  );
  return fds.flatMap(
    (fd) => /^iff:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))?.[1] ?? [],
  );
}

/**
 * Puts the first guest of an image behind the others. TAPs are named in that order: after a restart each NIC has one of
 * another name, which was another NIC's.
 */
export async function turnGuests(image: string): Promise<void> {
  const file = join(image, 'manifest.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as { definition: { guests: object } };
  const { definition } = manifest;
  const [first, ...others] = Object.entries(definition.guests);
  definition.guests = Object.fromEntries([...others, first!]);
  const text = JSON.stringify(manifest);
  const sum = createHash('sha256').update(text).digest('hex');
  await writeFile(file, text);
  await writeFile(join(image, 'manifest.sha256'), `${sum}  manifest.json\n`);
}

/** The TAPs of every guest of a network that runs. */
const tapsIn = (lab: TrafficLab): Map<string, string[]> =>
  new Map([...lab.live.guests].map(([name, { pid }]) => [name, tapsOf(pid!)]));

/** Kills all and brings the checkpoint back: on TAPs of other names, or on those of the same. */
async function killAndRestart(lab: TrafficLab, name: string, turned: boolean): Promise<CheckpointReport> {
  const before = tapsIn(lab);
  const report = await lab.checkpoint(name, { kill: true });
  if (turned) await turnGuests(report.path);
  await lab.restart(report.path);
  const after = tapsIn(lab);
  for (const [guest, taps] of before) {
    const now = after.get(guest)!;
    expect(now).toHaveLength(taps.length); // of `dgram` there are none
    for (const [nic, tap] of taps.entries()) {
      if (turned) expect(now[nic]).not.toBe(tap);
      else expect(now[nic]).toBe(tap);
    }
  }
  return report;
}

/**
 * ROUNDS of checkpoints in place, and as many with kill and a restart, every second of them, from the first, on TAPs of
 * other names; then what the guests say is without fault.
 * @param look - at each life of the guests
 */
export async function playRounds(lab: TrafficLab, look: () => void = () => undefined): Promise<void> {
  look();
  let inFlight = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    await delay(400);
    const report = await lab.checkpoint(`place${round}`);
    expect(report.proven).toBe(true);
    expect((await verifyImage(report.path)).faults).toEqual([]);
    await delay(400);
    const killed = await killAndRestart(lab, `kill${round}`, round % 2 === 1);
    look();
    expect(killed.proven).toBe(true);
    inFlight += report.inFlightFrames + killed.inFlightFrames;
  }
  expect(inFlight).toBeGreaterThan(0);
  await expectFaultless(lab);
}

export async function expectFaultless(lab: TrafficLab): Promise<void> {
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
}

/**
 * Meets checkpoints that DMTCP begins, twice ROUNDS of them: `begin` makes it begin one, or knows that it will. Each has to be
 * taken, since a timer would hide one that failed behind the one after it. After every second all are killed, and
 * restarted from it. Then what the guests say is without fault.
 */
export async function meetForeign(lab: TrafficLab, begin: () => void): Promise<void> {
  const checkpoints: Promise<CheckpointReport>[] = [];
  const meet = async (): Promise<void> => {
    const checkpoint = lab.checkpoint(`foreign${checkpoints.length}`);
    checkpoints.push(checkpoint);
    await checkpoint;
  };
  lab.live.onForeignCheckpoint = meet;
  for (let round = 1; round <= 2 * ROUNDS; round++) {
    const before = checkpoints.length;
    begin();
    await vi.waitFor(() => expect(checkpoints.length).toBeGreaterThan(before), {
      timeout: 60_000,
      interval: 20,
    });
    const { proven, path } = await checkpoints[before]!;
    expect(proven).toBe(true);
    await delay(400);
    if (round % 2 === 1) continue;
    await lab.close(); // whatever has been done since is forgotten
    await Promise.allSettled(checkpoints); // one that the timer had just begun came to nothing
    expect((await verifyImage(path)).faults).toEqual([]);
    await lab.restart(path);
    lab.live.onForeignCheckpoint = meet;
    await delay(400);
  }
  await expectFaultless(lab);
}

/** What a coordinator has written into its port file. */
export const portIn = (file: string): string => readFileSync(file, 'utf8').trim();
