/**
 * Real guests under a real DMTCP, under TCP and UDP load. Where dmtcp_launch is not on PATH none of it runs, and the suite
 * `dmtcp` of scripts/test.mjs says so: nothing here counts among the guest tests that have to run.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { canFork } from '../../src/dmtcp/index.js';
import {
  expectFaultless,
  LOAD,
  loadOf,
  meetForeign,
  playRounds,
  portIn,
  ROUNDS,
  tapsOf,
  underDmtcp,
} from './dmtcp-lab.js';
import { OwnCoordinator } from './own-coordinator.js';
import { namespaces, ROUTED_GUESTS, TrafficLab } from './traffic-lab.js';

let lab: TrafficLab;
afterEach(() => lab.end());

test.each([
  ['two guests under DMTCP', 2, 2],
  ['four guests under DMTCP', 4, 4],
  ['one under DMTCP and one that is not', 2, 1],
])('%s: in place, killed and restarted: nothing lost, doubled or reordered', async (_what, guests, under) => {
  lab = await TrafficLab.boot(underDmtcp(guests, under), loadOf(guests));
  await playRounds(lab);
});

test('a router with a NIC on each of two segments, and traffic on both and across: the same', async () => {
  lab = await TrafficLab.boot(underDmtcp(ROUTED_GUESTS, 3), LOAD);
  await playRounds(lab, () => {
    const { pid } = lab.live.guests.get('r')!;
    expect(new Set(tapsOf(pid!)).size).toBe(2);
  });
});

test('images that are compressed: the same', async () => {
  lab = await TrafficLab.boot(underDmtcp(2, 2, { gzip: true }), LOAD);
  await playRounds(lab);
  const files = readdirSync(lab.checkpoints, { recursive: true, encoding: 'utf8' });
  const images = files.filter((file) => file.endsWith('state.dmtcp'));
  expect(images).toHaveLength(2 * 2 * ROUNDS);
  for (const image of images) expect(beginning(join(lab.checkpoints, image))).toBe('1f8b');
});

/** Its first two bytes, by which gzip's are known. */
function beginning(file: string): string {
  const bytes = Buffer.alloc(2);
  const fd = openSync(file, 'r');
  readSync(fd, bytes);
  closeSync(fd);
  return bytes.toString('hex');
}

const forks = await canFork();
if (!forks) console.warn('NOT RUN: `forked: true`, for this DMTCP was built without forked checkpointing');

test.each(forks ? ['images that a copy of the process writes'] : [])('%s: the same', async () => {
  lab = await TrafficLab.boot(underDmtcp(2, 2, { forked: true }), LOAD);
  await playRounds(lab);
});

test('sockets in place of TAPs: the same', async () => {
  const guests = Object.entries(underDmtcp(2, 2));
  const plain = guests.map(([name, guest]) => [name, { ...guest, transport: 'dgram' as const }] as const);
  lab = await TrafficLab.boot(Object.fromEntries(plain), LOAD);
  await playRounds(lab);
});

test.each(['tap', 'dgram'] as const)(
  'the same image under another name: with a %s of its own',
  async (transport) => {
    const guests = Object.entries(underDmtcp(2, 2)).map(
      ([name, guest]) => [name, { ...guest, transport }] as const,
    );
    lab = await TrafficLab.boot(Object.fromEntries(guests), LOAD);
    const report = await lab.checkpoint('gone', { kill: true });
    const other = `${lab.definition.network}-b`;
    await lab.restart(report.path, { as: other });
    if (transport === 'tap') expect(namespaces()).toContain(`stillwire-${other}`);
    await expectFaultless(lab);
  },
);

test.each([2, 4])(
  'dmtcp_command begins it, %d guests: a checkpoint of the network each time, in place, killed and restarted',
  async (guests) => {
    lab = await TrafficLab.boot(underDmtcp(guests, guests), loadOf(guests));
    await meetForeign(lab, () => {
      const port = portIn(join(lab.directory, 'run', 'dmtcp.port')); // another after each restart
      execFileSync('dmtcp_command', ['--coord-host', '127.0.0.1', '--coord-port', port, '--checkpoint']);
    });
  },
);

/** A user's own coordinator with a timer: `dmtcp_command --interval` sets none in DMTCP 3.2.0. */
test.each([2, 4])("the timer of a user's own coordinator begins it, %d guests: the same", async (guests) => {
  const coordinator = await OwnCoordinator.start(['--interval', String(2 + guests)]);
  try {
    const settings = { coordinator: coordinator.address };
    lab = await TrafficLab.boot(underDmtcp(guests, guests, settings), loadOf(guests));
    await meetForeign(lab, () => undefined);
    await lab.end(); // before the coordinator, without which its guests end by themselves
  } finally {
    coordinator.end();
  }
});
