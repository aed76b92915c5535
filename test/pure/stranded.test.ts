/** A guest that cannot be resumed at once: a checkpoint's journal names it until it runs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { takeCheckpoint } from '../../src/checkpoint/checkpoint.js';
import type { JournalEntry } from '../../src/checkpoint/journal.js';
import type { LiveNetwork } from '../../src/checkpoint/live-network.js';
import { StillwireError } from '../../src/errors/index.js';
import { ScriptedChannel } from './scripted-channel.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'stranded-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

class Stuck {
  readonly name = 'anna';
  pid: number | undefined = 1;
  running = true;
  tries = 0;
  /** `cont` is refused so many times. */
  refusals = 2;
  readonly ended = new Promise<string>(() => undefined);
  runState = () => Promise.resolve(this.running ? 'running' : 'paused');
  writableDisks = () => Promise.resolve([]);
  identity = () => Promise.resolve({});
  prepareSave = () => Promise.resolve(() => undefined);
  watch = () => () => undefined;

  stop(): Promise<boolean> {
    this.running = false;
    return Promise.resolve(true);
  }

  resume(): Promise<void> {
    this.tries++;
    if (this.refusals-- > 0) {
      const words = 'guest anna: resuming failed: it is finish-migrate after cont';
      return Promise.reject(new StillwireError('GUEST_FAILED', words, { guest: 'anna' }));
    }
    this.running = true;
    return Promise.resolve();
  }
}

function liveOf(guest: Stuck): LiveNetwork {
  const channel = Object.assign(new ScriptedChannel(), {
    signal: new AbortController().signal,
    forget: () => undefined,
  });
  return {
    definition: { network: 'lab', guests: { anna: {} } },
    guests: new Map([['anna', guest]]),
    exclusively: <T>(work: () => Promise<T>) => work(),
    network: { channel: () => channel },
  } as unknown as LiveNetwork;
}

const failing = (live: LiveNetwork, journal: { entry?: JournalEntry | undefined }): Promise<StillwireError> =>
  takeCheckpoint(live, {
    name: 'c',
    directory,
    signal: new AbortController().signal,
    journal: {
      record: (entry) => (journal.entry = entry),
      clear: () => (journal.entry = undefined),
    },
    beforePhase: (phase) =>
      phase === 'mark' ? Promise.reject(new StillwireError('INTERRUPTED', 'enough')) : Promise.resolve(),
  }).then(
    () => Promise.reject(new Error('it did not fail')),
    (error: unknown) => error as StillwireError,
  );

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('a guest that could not be resumed is named, stays in the journal, and is tried again until it runs', async () => {
  const guest = new Stuck();
  const live = liveOf(guest);
  const journal: { entry?: JournalEntry | undefined } = {};
  const error = await failing(live, journal);
  expect(error).toMatchObject({ code: 'INTERRUPTED', details: { stranded: ['anna'] } });
  expect(error.message).toMatch(
    /^enough; .*anna: resuming failed.*not resumed yet: anna\..*stillwire status/,
  );
  expect(journal.entry).toMatchObject({ phase: 'cutting', checkpoint: { name: 'c' }, resume: ['anna'] });

  // It may be let go at any moment: no cut can have it.
  expect((await failing(live, journal)).message).toMatch(/anna has not been resumed/);
  expect(journal.entry).toMatchObject({ resume: ['anna'] });

  await until(() => guest.running && journal.entry === undefined);
  expect(guest.tries).toBe(3);
  expect(await failing(live, journal)).toMatchObject({ message: 'enough' });
  expect(journal.entry).toBeUndefined();
}, 20_000);

test('one that has ended is tried no more', async () => {
  const guest = new Stuck();
  guest.refusals = Infinity;
  const journal: { entry?: JournalEntry | undefined } = {};
  await failing(liveOf(guest), journal);
  expect(journal.entry).toMatchObject({ resume: ['anna'] });
  guest.pid = undefined;
  await until(() => journal.entry === undefined);
  expect(guest.tries).toBe(1);
}, 20_000);
