/** Our own loop of poll, read and write over TAP descriptors, in C: bench/c-loop.c. */
import type { CarrierKind } from '../carrier.js';
import { compile } from '../compile.js';

export const cLoop: CarrierKind = {
  name: 'C loop',
  ports: 'TAP fd',
  role: 'cl',
  missing: () => Promise.resolve(undefined),
  async carry(ground, ends) {
    const places = ends.both.map((namespace) => `/run/netns/${namespace}:eth0`);
    const loop = await ground.start({}, [await compile(ground, 'c-loop'), ...places]);
    await loop.said('ready', ground.signal);
    return [loop.pid];
  },
};
