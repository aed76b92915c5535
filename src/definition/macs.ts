/** Deterministic MAC addresses: the same file gives the same ones on every machine, so that a restart finds its peers. */
import { createHash } from 'node:crypto';
import type { PortId } from '../frame/types.js';

/** QEMU's own prefix: unicast, locally administered. */
const PREFIX = '52:54:00';

/**
 * Gives a MAC to each port that has none: the prefix and the first 24 bits of sha256(network, port), hashed again
 * with a count while it is taken. In the order of the ports' ids, so that the order of the file does not matter.
 * @param given - MACs of the ports that have one
 */
export function deriveMacs(
  network: string,
  ports: readonly PortId[],
  given: ReadonlyMap<PortId, string>,
): Map<PortId, string> {
  const macs = new Map(given);
  const taken = new Set(given.values());
  for (const port of ports.filter((id) => !given.has(id)).sort()) {
    let mac: string;
    let again = 0;
    do mac = hashed(`${network}\0${port}\0${again++}`);
    while (taken.has(mac));
    taken.add(mac);
    macs.set(port, mac);
  }
  return macs;
}

function hashed(text: string): string {
  const digest = createHash('sha256').update(text).digest('hex');
  return `${PREFIX}:${digest.slice(0, 2)}:${digest.slice(2, 4)}:${digest.slice(4, 6)}`;
}
