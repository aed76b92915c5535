/**
 * Open vSwitch with its userspace datapath and packet sockets, as installed, without DPDK. Daemons and database are the
 * run's own: no system service is needed or touched. It loses frames whose checksum is left to the device (userspace TSO is
 * an experimental option, off by default), so its ends do without offloads.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CarrierKind } from '../carrier.js';
import { findProgram } from '../program.js';
import { makeVeths } from '../veth.js';

const PROGRAMS = ['ovsdb-tool', 'ovsdb-server', 'ovs-vswitchd', 'ovs-vsctl'];

export const openVswitch: CarrierKind = {
  name: 'Open vSwitch',
  ports: 'packet on veth',
  role: 'ovs',
  withoutOffloads: true,
  async missing() {
    const found = await Promise.all(PROGRAMS.map(findProgram));
    return found.includes(undefined) ? 'not installed (Debian: openvswitch-switch)' : undefined;
  },
  version: async (ground) =>
    /\) (\S+)/.exec(await ground.run({}, 'ovs-vswitchd', '--version'))?.[1] ?? 'unknown',
  async carry(ground, ends) {
    const namespace = await ground.namespace('ovs');
    const near = await makeVeths(ground, namespace, ends);
    const directory = join(ground.directory, 'ovs');
    await mkdir(directory);
    const env = Object.fromEntries(
      ['RUNDIR', 'LOGDIR', 'DBDIR', 'SYSCONFDIR'].map((key) => [`OVS_${key}`, directory]),
    );
    const where = { namespace };
    const socket = `unix:${join(directory, 'db.sock')}`;
    const vsctl = (...words: string[]): Promise<string> =>
      ground.run(
        where,
        'env',
        `OVS_RUNDIR=${directory}`,
        'ovs-vsctl',
        '--timeout=10',
        `--db=${socket}`,
        ...words,
      );

    const database = join(directory, 'conf.db');
    await ground.run({}, 'ovsdb-tool', 'create', database);
    const server = ['ovsdb-server', `--remote=p${socket}`, '--log-file=/dev/null', database];
    await ground.start(where, server, { env, graceMs: 0 });
    await vsctl('--retry', '--no-wait', 'init');
    const daemon = await ground.start(where, ['ovs-vswitchd', '--log-file=/dev/null', socket], { env });
    await vsctl('add-br', 'bridge', '--', 'set', 'bridge', 'bridge', 'datapath_type=netdev');
    for (const device of near) await vsctl('add-port', 'bridge', device);
    return [daemon.pid];
  },
};
