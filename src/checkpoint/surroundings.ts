/** What the guests of a checkpoint need on this machine, looked at before a restart touches anything. */
import { StillwireError } from '../errors/index.js';
import { isAdopted, isDmtcp } from '../definition/index.js';
import { dmtcpVersion } from '../dmtcp/index.js';
import { hashBootFiles } from '../guest/index.js';
import type { Manifest } from '../image/index.js';
import { runProgram } from '../network/index.js';
import { everyone } from './everyone.js';

const qemuVersion = async (binary: string): Promise<string> =>
  /version (\d+\.\d+\.\d+)/.exec(await runProgram(binary, '--version'))?.[1] ?? 'unknown';

/** @throws StillwireError MACHINE_CHANGED naming guest, what was and what is; MISSING_PROGRAM; GUEST_FAILED */
export async function checkSurroundings({ definition, guests }: Manifest): Promise<void> {
  const versions = new Map<string, Promise<string>>();
  await everyone(Object.entries(guests), async ([name, { identity, state }]) => {
    const guest = definition.guests[name];
    if (guest === undefined || identity === undefined || state === undefined) return;
    if (isAdopted(guest)) {
      if (guest.adopt.restart !== undefined) return; // what its owner's command starts is looked at when it answers
      const words = `guest ${name} was adopted, and its network file gives no command that starts it again`;
      throw new StillwireError('GUEST_NOT_RESTARTABLE', words, { guest: name });
    }
    const differs = (what: string, was: string, is: string): StillwireError =>
      new StillwireError('MACHINE_CHANGED', `guest ${name}: ${what} was ${was}, here it is ${is}`, {
        guest: name,
      });

    if (isDmtcp(guest)) {
      const dmtcp = versions.get('dmtcp') ?? dmtcpVersion('dmtcp_restart');
      versions.set('dmtcp', dmtcp);
      if ((await dmtcp) !== identity.version) throw differs('DMTCP', identity.version, await dmtcp);
      return; // QEMU, kernel and all are in the image
    }
    const version = versions.get(guest.qemu) ?? qemuVersion(guest.qemu);
    versions.set(guest.qemu, version);
    if ((await version) !== identity.version) throw differs('QEMU', identity.version, await version);
    const hashes = await hashBootFiles(name, guest);
    for (const [role, hash] of Object.entries(identity.hashes)) {
      if (hashes[role] !== hash) throw differs(`the ${role}'s sha256`, hash, hashes[role] ?? 'missing');
    }
  });
}
