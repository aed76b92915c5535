/** vde_switch with its own TAPs. It knows no virtio-net header, so its TAPs have no offloads to begin with. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CarrierKind } from '../carrier.js';
import { findProgram, until } from '../program.js';

/** As long a ring as the others' TAPs have. */
const RING_FRAMES = '8192';

export const vdeSwitch: CarrierKind = {
  name: 'vde_switch',
  ports: 'TAP fd',
  role: 'vde',
  missing: async () =>
    (await findProgram('vde_switch')) === undefined ? 'not installed (Debian: vde2)' : undefined,
  version: async (ground) =>
    /VDE (\S+)/.exec(await ground.run({}, 'vde_switch', '--version'))?.[1] ?? 'unknown',
  async carry(ground, ends) {
    const namespace = await ground.namespace('vde');
    const socket = join(ground.directory, 'vde');
    // Its console is stdin: it ends when that does.
    const command = ['vde_switch', '--sock', socket, '--tap', 'vde0', '--tap', 'vde1'];
    const vde = await ground.start({ namespace }, command, { graceMs: 1000 });
    await until(
      () => existsSync(join(socket, 'ctl')),
      ground.signal,
      () => vde.failure('does not start'),
    );
    for (const [i, end] of ends.both.entries()) {
      await ground.ip('-n', namespace, 'link', 'set', `vde${i}`, 'netns', end, 'name', 'eth0');
      await ground.ip('-n', end, 'link', 'set', 'eth0', 'txqueuelen', RING_FRAMES);
    }
    return [vde.pid];
  },
};
