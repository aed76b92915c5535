/** From which images a restart works, and which it refuses. */
import { cp, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CheckpointReport } from '../../src/checkpoint/index.js';
import {
  failure,
  flatGuests,
  isFaultless,
  monitorArguments,
  namespaces,
  PATIENCE,
  TrafficLab,
} from './traffic-lab.js';

let lab: TrafficLab;
let image: CheckpointReport;

beforeAll(async () => {
  lab = await TrafficLab.boot((directory) => {
    const { g1, ...others } = flatGuests(2);
    return { g1: { ...g1!, args: monitorArguments(directory, 'g1') }, ...others };
  });
  await delay(300);
  image = await lab.checkpoint('gone', { kill: true });
});
afterAll(() => lab.end());

/** A copy of the image, the original untouched. */
async function copyOf(name: string): Promise<string> {
  const copy = join(lab.directory, name);
  await cp(image.path, copy, { recursive: true });
  return copy;
}

async function flipBit(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const at = Math.floor(((await handle.stat()).size * 2) / 3);
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, at);
    byte[0]! ^= 0x10;
    await handle.write(byte, 0, 1, at);
  } finally {
    await handle.close();
  }
}

async function refused(directory: string): Promise<string> {
  const phases: string[] = [];
  const before = namespaces();
  const error = await failure(lab.restart(directory, { onPhase: (phase) => phases.push(phase) }));
  expect(error.code).toBe('IMAGE_INVALID');
  expect(phases).toEqual([]);
  expect(namespaces()).toBe(before);
  return error.message;
}

test.for(['guests/g1/state.qemu', 'inflight.pcapng', 'manifest.json'])(
  'one flipped bit in %s: refused before anything is touched',
  async (file) => {
    const copy = await copyOf('damaged');
    await flipBit(join(copy, file));
    expect(await refused(copy)).toContain(file);
    await rm(copy, { recursive: true });
  },
);

test('a file exchanged for that of another checkpoint: refused', async () => {
  const copy = await copyOf('mixed');
  await rename(join(copy, 'guests/g1/state.qemu'), join(copy, 'g1'));
  await rename(join(copy, 'guests/g2/state.qemu'), join(copy, 'guests/g1/state.qemu'));
  await rename(join(copy, 'g1'), join(copy, 'guests/g2/state.qemu'));
  expect(await refused(copy)).toContain('guests/g1/state.qemu');
  await rm(copy, { recursive: true });
});

test('from a copied directory, the original gone, under another name: the transfers finish', async () => {
  const copy = await copyOf('copy');
  await rm(image.path, { recursive: true });
  const other = `${lab.definition.network}-b`;
  await lab.restart(copy, { as: other });
  expect(lab.live.definition.network).toBe(other);
  expect(namespaces()).toContain(`stillwire-${other}`);
  await delay(500);
  const tally = await lab.finish();
  expect(tally, JSON.stringify(tally)).toSatisfy(isFaultless);
  expect(JSON.parse(await readFile(join(copy, 'manifest.json'), 'utf8'))).toMatchObject({
    definition: { network: lab.definition.network },
  });
});

// QEMU 7.2 dies of it when its virtio-net lost the timer of its announcements: see guest/qemu-arguments.ts.
test('a restarted guest may be reset, and boots', async () => {
  const boots = async (): Promise<number> =>
    (await lab.console('g1').lines()).filter((line) => line.startsWith('stillwire-guest')).length;
  const before = await boots();
  await lab.qmp('g1', 'system_reset');
  await lab.console('g1').said('stillwire-guest', PATIENCE, before);
});
