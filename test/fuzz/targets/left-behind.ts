/**
 * What a dead daemon left in the run directory, after whatever befell it: hold file, journal, state. Reading never
 * throws, and what is read is fit to be used: frames that can be delivered, each once and in order.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { FileJournal, readJournal } from '../../../src/daemon/journal.js';
import { readState, writeState } from '../../../src/daemon/state-file.js';
import * as File from '../../../src/hold-queue/layout.js';
import { recoverFrom } from '../../../src/hold-queue/recover.js';
import { HoldStore } from '../../../src/hold-queue/store.js';
import { Bench } from '../../pure/bench.js';
import { frame, station } from '../../pure/frames.js';
import { edits, spoilBytes } from '../spoil.js';
import { demandCleanPrototypes, target, wrong } from '../target.js';

const PORTS = ['a', 'b', 'c'];
/** Where what matters lies, and how much of it is spoilt as one piece. */
const PLACES: readonly (readonly [number, number])[] = [
  [0, 64],
  [File.NOTES_AT, 128],
  [File.HEADS_AT, 64],
  [File.NAMES_AT, 64],
  [File.SEGMENTS_AT, 64],
  [File.SEGMENTS_AT, 2048],
];
const BYTES = File.SEGMENTS_AT + File.SEGMENT_BYTES;

/** A hold file in use: frames for one, for several, delivered and not. */
function holdFile(directory: string): Buffer {
  const path = join(directory, 'held');
  const bench = new Bench(
    PORTS.map((id) => ({ id })),
    'forward',
    new HoldStore(path),
  );
  for (const [i, id] of PORTS.entries()) bench.send(id, frame(0, { from: station(i) }));
  bench.core.hold();
  for (let n = 1; n < 20; n++) {
    bench.send('a', frame(n, { from: station(0), length: 60 + n, ...(n % 3 === 0 && { to: station(1) }) }));
  }
  const bytes = Buffer.alloc(BYTES);
  readFileSync(path).copy(bytes, 0, 0, BYTES);
  bench.core.close();
  return bytes;
}

export default target(() => {
  const directory = mkdtempSync(join(tmpdir(), 'swl-'));
  const held = holdFile(directory);
  if (held.readInt32LE(4 * File.NAMES_WORD) === 0) wrong('there is nothing in the hold file');
  const journal = join(directory, 'journal.json');
  const state = join(directory, 'state.json');
  new FileJournal(journal, 'lab').record({
    phase: 'cutting',
    checkpoint: { name: 'one', draft: '/nowhere/.one', path: '/nowhere/one' },
    resume: ['a', 'b'],
  });
  writeState(state, {
    namespace: 'n',
    since: new Date(0),
    guests: [{ name: 'a', pid: process.pid }],
    devices: {},
  });
  const files = [readFileSync(journal), readFileSync(state)] as const;

  async function checkHeld(place: number, changes: Parameters<typeof spoilBytes>[1]): Promise<void> {
    const [at, length] = PLACES[place]!;
    const bytes = Buffer.from(held);
    spoilBytes(held.subarray(at, at + length), changes).copy(bytes, at, 0, length);
    const frames = await recoverFrom((from, count) =>
      Promise.resolve(bytes.subarray(Math.min(from, BYTES), Math.min(from + count, BYTES))),
    );
    let last = -1;
    for (const { sequence, destinations, vnet, bytes: ethernet } of frames) {
      if (sequence <= last) wrong(`frame ${sequence} behind frame ${last}`);
      if (destinations.length === 0 || new Set(destinations).size !== destinations.length)
        wrong('destinations');
      if (vnet.length !== 10 || ethernet.length < 60) wrong(`a frame of ${ethernet.length} bytes`);
      last = sequence;
    }
  }

  return {
    inputs: fc.record({ place: fc.nat(PLACES.length - 1), changes: edits }),
    async check({ place, changes }) {
      await checkHeld(place, changes);
      writeFileSync(journal, spoilBytes(files[0], changes));
      readJournal(journal, 'lab');
      writeFileSync(state, spoilBytes(files[1], changes));
      readState(state);
      demandCleanPrototypes();
    },
    close() {
      rmSync(directory, { recursive: true, force: true });
      return Promise.resolve();
    },
  };
});
