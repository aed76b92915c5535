/** The kernel's own bridge between two veths: no process, no copy to user space. */
import type { CarrierKind } from '../carrier.js';
import { makeVeths } from '../veth.js';

export const linuxBridge: CarrierKind = {
  name: 'Linux bridge',
  ports: 'veth',
  role: 'lb',
  missing: () => Promise.resolve(undefined),
  async carry(ground, ends) {
    const namespace = await ground.namespace('lb');
    await ground.ip('-n', namespace, 'link', 'add', 'bridge', 'type', 'bridge', 'mcast_snooping', '0');
    await ground.ip('-n', namespace, 'link', 'set', 'bridge', 'up');
    for (const device of await makeVeths(ground, namespace, ends)) {
      await ground.ip('-n', namespace, 'link', 'set', device, 'master', 'bridge');
    }
    return [];
  },
};
