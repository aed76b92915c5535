/**
 * Checkpoints of real guests that DMTCP begins, as a user meets them: the daemon makes one of the network of each, and
 * every one of them is restarted from, all killed before, on TAPs of other names. Nothing may show in the guests' traffic.
 */
import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { DaemonLab } from './dmtcp-daemon-lab.js';
import { ROUNDS, underDmtcp } from './dmtcp-lab.js';
import { OwnCoordinator } from './own-coordinator.js';

let lab: DaemonLab | undefined;
let coordinator: OwnCoordinator | undefined;
afterEach(async () => {
  await lab?.end(); // before the coordinator, without which its guests end by themselves
  lab = undefined;
  coordinator?.end();
  coordinator = undefined;
});

/** What a user of DMTCP types. */
function dmtcp(port: string, command: '--checkpoint' | '--kcheckpoint' | '--kill'): void {
  const where = ['--coord-host', '127.0.0.1', '--coord-port', port];
  const { status, stdout, stderr } = spawnSync('dmtcp_command', [...where, command], { encoding: 'utf8' });
  // That of 3.2.0 ends with 2 when all has ended behind its image, as it was told to.
  if (status !== 0 && !stdout.includes('checkpointed and killed')) throw new Error(`${command}: ${stderr}`);
}

/** Meets ROUNDS checkpoints, kills all after each and restarts from it. */
async function play(network: DaemonLab, begin: () => void, kill?: (round: number) => void): Promise<void> {
  let inFlight = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    await delay(400);
    const checkpoint = await network.meetOne(begin);
    inFlight += checkpoint.inFlightFrames!;
    await delay(400); // whatever is done since is forgotten
    await network.killAndRestart(checkpoint, () => kill?.(round));
  }
  expect(inFlight).toBeGreaterThan(0);
  await delay(500);
  await network.expectFaultless();
}

test.each([2, 4])('dmtcp_command begins it, %d guests: killed and restarted each time', async (guests) => {
  const network = (lab = await DaemonLab.boot(underDmtcp(guests, guests)));
  await play(
    network,
    () => dmtcp(network.coordinatorPort, '--checkpoint'),
    (round) => {
      if (round % 2 === 1) dmtcp(network.coordinatorPort, '--kill'); // else the daemon ends them
    },
  );
});

test.each([2, 4])('dmtcp_command begins it and has all end with it, %d guests: restarted', async (guests) => {
  const network = (lab = await DaemonLab.boot(underDmtcp(guests, guests)));
  await play(network, () => dmtcp(network.coordinatorPort, '--kcheckpoint'));
});

test.each([2, 4])('a timer begins it, %d guests: killed and restarted each time', async (guests) => {
  // Long enough for a starved machine to get on in between: on one, a checkpoint of four takes seconds.
  coordinator = await OwnCoordinator.start(['--interval', String(3 * guests)]);
  lab = await DaemonLab.boot(underDmtcp(guests, guests, { coordinator: coordinator.address }));
  await play(lab, () => undefined);
});
