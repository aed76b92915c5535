/** What the guests of a network that run under DMTCP have in common: where their plugins report, and their coordinator. */
import { join } from 'node:path';
import { isDmtcp, type NetworkDefinition } from '../definition/index.js';
import { DmtcpCoordinator, DmtcpGroup } from '../dmtcp/index.js';

/** Undefined when no guest runs under DMTCP. @throws StillwireError MISSING_PROGRAM, PATH_TOO_LONG, GUEST_FAILED */
export async function openDmtcpGroup(
  { guests }: NetworkDefinition,
  runDirectory: string,
): Promise<DmtcpGroup | undefined> {
  const first = Object.values(guests).find(isDmtcp);
  if (first === undefined) return undefined;
  const given = first.dmtcp.coordinator; // the network file has it that all name the same
  const coordinator =
    given === undefined ? await DmtcpCoordinator.start(runDirectory) : DmtcpCoordinator.at(given);
  try {
    return await DmtcpGroup.open({ socket: join(runDirectory, 'dmtcp.sock'), coordinator });
  } catch (error) {
    await coordinator.end();
    throw error;
  }
}
