/** A veth pair whose far end is an endpoint's eth0. */
import type { Ends } from './ends.js';
import type { Ground } from './ground.js';

/** Makes both of them; the names of the near ends, which lie in `namespace`, up. */
export async function makeVeths(ground: Ground, namespace: string, ends: Ends): Promise<string[]> {
  const near = ['near0', 'near1'];
  for (const [i, far] of ends.both.entries()) {
    const device = near[i]!;
    const pair = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', far];
    await ground.ip('-n', namespace, 'link', 'add', device, ...pair);
    await ground.ip('-n', namespace, 'link', 'set', device, 'up');
  }
  return near;
}
