/**
 * Real guests under a real DMTCP, under TCP and UDP load. Where dmtcp_launch is not on PATH none of it runs, and the suite
 * `dmtcp` of scripts/test.mjs says so: nothing here counts among the guest tests that have to run.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { expectFaultless, LOAD, meetForeign, playRounds, portIn, underDmtcp } from './dmtcp-lab.js';
import { OwnCoordinator } from './own-coordinator.js';
import { namespaces, TrafficLab } from './traffic-lab.js';

let lab: TrafficLab;
afterEach(() => lab.end());

test.each([
  ['two guests under DMTCP', 2, 2],
  ['four guests under DMTCP', 4, 4],
  ['one under DMTCP and one that is not', 2, 1],
])('%s: in place, killed and restarted: nothing lost, doubled or reordered', async (_what, guests, under) => {
  lab = await TrafficLab.boot(underDmtcp(guests, under), LOAD);
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
    lab = await TrafficLab.boot(underDmtcp(guests, guests), LOAD);
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
    lab = await TrafficLab.boot(underDmtcp(guests, guests, settings), LOAD);
    await meetForeign(lab, () => undefined);
    await lab.end(); // before the coordinator, without which its guests end by themselves
  } finally {
    coordinator.end();
  }
});
