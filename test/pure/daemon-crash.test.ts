/** What a killed daemon leaves and the next one reads: journal, state, definition; and the faults to try it with. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JournalEntry } from '../../src/checkpoint/index.js';
import { differences, readDefinition, writeDefinition } from '../../src/daemon/definition-file.js';
import { FAULT_ACTIONS, FAULT_STEPS, Faults, parseFaults } from '../../src/daemon/faults.js';
import { FileJournal, readJournal } from '../../src/daemon/journal.js';
import { adviceOf, doingOf, obstacleOf, readRemains, toResume } from '../../src/daemon/remains.js';
import { pathsOf } from '../../src/daemon/run-directory.js';
import { demandAttachable } from '../../src/daemon/stale.js';
import { writeState } from '../../src/daemon/state-file.js';
import type { NetworkDefinition } from '../../src/definition/index.js';
import type { StillwireError } from '../../src/errors/index.js';
import { PHASES } from '../../src/quiesce/index.js';
import { DEFINITION } from './fake-network.js';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'swcrash-'));
  path = join(directory, 'journal.json');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const checkpoint = { name: 'k', draft: '/c/.k.partial-1-2-3', path: '/c/k' };
const ENTRIES: JournalEntry[] = [
  { phase: 'cutting', checkpoint, resume: ['a', 'b'] },
  { phase: 'writing', checkpoint },
  { phase: 'killing', checkpoint, resume: ['a'] },
  { phase: 'loading', image: '/c/k' },
  { phase: 'resuming', image: '/c/k', resume: [] },
];

describe('the journal', () => {
  test('each entry takes the place of the last, and is read as it was written; cleared, there is none', () => {
    const journal = new FileJournal(path, 'lab');
    for (const entry of ENTRIES) {
      journal.record(entry);
      expect(readJournal(path, 'lab')).toEqual(entry);
      expect(existsSync(`${path}.new`)).toBe(false);
    }
    journal.clear();
    journal.clear();
    expect(readJournal(path, 'lab')).toBeUndefined();
  });

  test('a torn one is damaged, wherever it is torn; one half-written beside it does not count', () => {
    new FileJournal(path, 'lab').record(ENTRIES[0]!);
    const whole = readFileSync(path);
    writeFileSync(`${path}.new`, whole.subarray(0, 10));
    expect(readJournal(path, 'lab')).toEqual(ENTRIES[0]);
    fc.assert(
      fc.property(fc.nat(whole.length - 3), (length) => {
        writeFileSync(path, whole.subarray(0, length));
        expect(readJournal(path, 'lab')).toBe('damaged');
      }),
      { seed: 5, numRuns: 50 },
    );
  });

  test('one of another boot says nothing; one of another network, or with more in it, is damaged', () => {
    new FileJournal(path, 'lab').record(ENTRIES[0]!);
    const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    expect(readJournal(path, 'other')).toBe('damaged');
    writeFileSync(path, JSON.stringify({ ...file, more: 1 }));
    expect(readJournal(path, 'lab')).toBe('damaged');
    writeFileSync(path, JSON.stringify({ ...file, bootId: 'another' }));
    expect(readJournal(path, 'lab')).toBeUndefined();
  });

  test('one that cannot be written is told', () => {
    const gone = new FileJournal(join(directory, 'none', 'journal.json'), 'lab');
    expect(() => gone.record(ENTRIES[0]!)).toThrow(/journal cannot be written/);
    expect(() => gone.clear()).not.toThrow();
  });
});

describe('what is left', () => {
  const qemu = { qemu: '/q', accel: 'tcg', machine: 'q35', cpus: 1, memory: 64, args: [], nics: [] } as const;
  const definition: NetworkDefinition = { ...DEFINITION, guests: { a: qemu, b: qemu } };
  /** Leaves what a daemon with these guests would; this process stands for those that live. */
  function leave({ alive = ['a'], whole = true, entry }: Partial<Left> = {}): ReturnType<typeof pathsOf> {
    const paths = pathsOf('lab', directory);
    mkdirSync(paths.directory, { recursive: true });
    writeDefinition(paths.definition, { definition, state: '/s' });
    const guests = alive.map((name) => ({ name, pid: process.pid }));
    const devices = whole ? { devices: { 'a/nic0': 'tap0' } } : {};
    writeState(paths.state, { namespace: 'stillwire-lab', since: new Date(), guests, ...devices });
    if (entry !== undefined) new FileJournal(paths.journal, 'lab').record(entry);
    return paths;
  }
  interface Left {
    alive: string[];
    whole: boolean;
    entry: JournalEntry;
  }
  const refusal = (paths: ReturnType<typeof pathsOf>, given = definition): StillwireError => {
    try {
      demandAttachable(given, paths);
    } catch (error) {
      return error as StillwireError;
    }
    throw new Error('it was not refused');
  };

  test('an idle network is taken up, and nobody resumed', () => {
    const remains = demandAttachable(definition, leave());
    expect([doingOf(remains), toResume(remains), remains.alive]).toEqual([undefined, [], ['a']]);
    expect(adviceOf(remains)).toBe(
      '`stillwire up FILE` takes it up again, delivering what was held; `stillwire down -n lab` ends it',
    );
  });

  test.each([
    [0, 'checkpoint k, with guests stopped', ['a', 'b'], 'takes it up again and resumes a,'],
    [1, 'all guests running', [], 'takes it up again,'],
    [2, 'its image is complete', ['a'], '`stillwire restart k` brings it back'],
    [3, 'a restart from k, with guests being loaded', [], 'then `stillwire restart k` again'],
    [4, 'a restart from k, with guests being resumed', [], 'takes it up again,'],
  ] as const)('entry %i: what was going on, whom to resume, what to do', (n, doing, resume, advice) => {
    const remains = readRemains('lab', leave({ entry: ENTRIES[n]! }));
    expect(doingOf(remains)).toContain(doing);
    expect(toResume(remains)).toEqual(resume);
    expect(adviceOf(remains)).toContain(advice);
    expect(adviceOf(remains)).toContain('stillwire down -n lab');
  });

  test('what cannot be taken up is refused with the reason and the way out', () => {
    expect(refusal(leave({ entry: ENTRIES[3]! })).message).toMatch(/guests being loaded; .*down -n lab/);
    rmSync(directory, { recursive: true });
    expect(refusal(leave({ whole: false })).message).toMatch(/it had not come up; .*down -n lab/);
    rmSync(directory, { recursive: true });
    expect(refusal(leave({ alive: [] })).message).toMatch(/none of its guests lives/);
    rmSync(directory, { recursive: true });
    const paths = leave();
    writeFileSync(paths.state, '{');
    expect(refusal(paths)).toMatchObject({ code: 'NETWORK_STALE', details: { network: 'lab' } });
    expect(obstacleOf(readRemains('lab', paths))).toMatch(/missing/);
  });

  test('a checkpoint with --kill that was complete is to be finished, whoever lives', () => {
    const remains = demandAttachable(definition, leave({ alive: [], entry: ENTRIES[2]! }));
    expect(remains.journal).toEqual(ENTRIES[2]);
  });

  test('a damaged journal resumes nobody: nobody knows whom', () => {
    const paths = leave({ entry: ENTRIES[0]! });
    writeFileSync(paths.journal, '{');
    const remains = demandAttachable(definition, paths);
    expect(toResume(remains)).toEqual([]);
    expect(doingOf(remains)).toContain('damaged');
  });

  test('another definition is refused, with what differs', () => {
    const paths = leave();
    expect(readDefinition(paths.definition)).toEqual({ definition, state: '/s' });
    const other = { ...definition, guests: { a: { ...qemu, memory: 128, args: ['-x'] }, c: qemu } };
    const { code, message } = refusal(paths, other);
    expect(code).toBe('NETWORK_STALE');
    for (const part of [
      'guests.a.memory was 64, is 128',
      'guests.a.args.0 was absent, is "-x"',
      'guests.b was {',
    ]) {
      expect(message).toContain(part);
    }
    expect(message).toContain('stillwire down -n lab');
  });

  test('the order of keys is no difference; many differences are counted', () => {
    const reversed = Object.fromEntries(Object.entries(definition).reverse()) as unknown as NetworkDefinition;
    expect(differences(definition, reversed)).toEqual([]);
    const many = (value: string) => ({
      ...definition,
      guests: { a: { ...qemu, args: Array<string>(20).fill(value) } },
    });
    expect(differences(many('x'), many('y')).at(-1)).toBe('and 12 more');
  });
});

describe('faults', () => {
  test('are parsed, and a wrong one is refused: it would never strike', () => {
    expect([...parseFaults(' checkpoint.stop:kill, attach.open:wait,')]).toEqual([
      ['checkpoint.stop', 'kill'],
      ['attach.open', 'wait'],
    ]);
    expect(parseFaults('').size).toBe(0);
    for (const wrong of [
      'checkpoint.stop',
      'checkpoint.halt:kill',
      'stop:kill',
      'checkpoint.stop:die',
      'x',
    ]) {
      expect(() => parseFaults(wrong)).toThrow(/STILLWIRE_FAIL_AT/);
    }
  });

  test('there is one for every phase of the sequence', () => {
    for (const phase of PHASES) expect(FAULT_STEPS).toContain(`checkpoint.${phase}`);
    for (const step of FAULT_STEPS) {
      for (const action of FAULT_ACTIONS) expect(parseFaults(`${step}:${action}`).get(step)).toBe(action);
    }
  });

  test('strike once, at their step and no other, having told so', async () => {
    const told: string[] = [];
    const signals: string[] = [];
    const faults = new Faults(
      parseFaults('checkpoint.stop:kill,checkpoint.mark:error,restart.load:term,attach.open:wait'),
      {
        directory,
        onStrike: (step, action) => told.push(`${step} ${action}`),
        signalSelf: (signal) => signals.push(`${signal} after ${told.length}`),
      },
    );
    const step = faults.of('checkpoint');
    await step('hold');
    await faults.of('restart')('release');
    expect(told).toEqual([]);
    await step('stop');
    await step('stop');
    await expect(step('mark')).rejects.toThrow('fault injected at checkpoint.mark');
    await step('mark');
    await faults.of('restart')('load');
    expect(signals).toEqual(['SIGKILL after 1', 'SIGTERM after 3']);

    let through = false;
    const waiting = faults.at('attach.open').then(() => (through = true));
    expect(readFileSync(join(directory, 'reached'), 'utf8')).toBe(`attach.open ${process.pid}\n`);
    await delay(50);
    expect(through).toBe(false);
    rmSync(join(directory, 'reached'));
    await waiting;
    await faults.at('attach.open');
    expect(told).toHaveLength(4);
  });
});
