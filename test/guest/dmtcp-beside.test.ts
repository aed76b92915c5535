/**
 * Guests under a real DMTCP beside others: with a plugin as one for KVM is, in the process, and on two hosts, as far as
 * one machine has two: namespaces without a link to the network's, and one coordinator that both reach.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, afterAll, expect, test } from 'vitest';
import { pluginFile } from '../../src/dmtcp/plugin-file.js';
import { closeFd, enterNamespace, namespacePath, O_RDONLY, openFd } from '../../src/sys/index.js';
import { ip, Lab } from '../kernel/lab.js';
import { LOAD, meetForeign, playRounds, ROUNDS, underDmtcp } from './dmtcp-lab.js';
import { OwnCoordinator } from './own-coordinator.js';
import { TrafficLab } from './traffic-lab.js';

const directory = mkdtempSync(join(tmpdir(), 'swb-'));
const standIn = join(directory, 'kvm-standin.so');
const log = join(directory, 'log');
const hosts = new Lab('dmtcp-hosts');
let lab: TrafficLab | undefined;

beforeAll(() => {
  const source = fileURLToPath(new URL('programs/kvm-standin.c', import.meta.url));
  const strict = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror'];
  execFileSync('cc', [...strict, '-fPIC', '-shared', '-o', standIn, source, '-ldl'], { stdio: 'pipe' });
});
afterEach(async () => {
  await lab?.end();
  lab = undefined;
});
afterAll(() => {
  hosts.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Events that the stand-in in each guest was told: PRESUSPEND 15, PRECHECKPOINT 16, RESUME 17, RESTART 18. */
function events(guest: string): { event: number; calls: number }[] {
  return readFileSync(log, 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([word, name]) => word === 'event' && name === guest)
    .map(([, , event, calls]) => ({ event: Number(event), calls: Number(calls) }));
}

test.each(['before ours', 'behind ours'])('beside a plugin as one for KVM is, loaded %s', async (place) => {
  const ours = await pluginFile();
  const settings = place === 'before ours' ? { kvmPlugin: standIn } : { plugins: [ours, standIn] };
  process.env['STANDIN_LOG'] = log;
  rmSync(log, { force: true });
  try {
    lab = await TrafficLab.boot(underDmtcp(2, 2, settings), LOAD);
    await playRounds(lab);
  } finally {
    delete process.env['STANDIN_LOG'];
  }
  for (const guest of Object.keys(lab.definition.guests)) {
    const told = events(guest);
    const times = (event: number): number => told.filter((each) => each.event === event).length;
    expect([15, 16, 18].map(times)).toEqual([2 * ROUNDS, 2 * ROUNDS, ROUNDS]);
    expect(times(17)).toBeGreaterThanOrEqual(ROUNDS); // one that is killed is not told, if ours is asked first
    expect(told[0]!.calls).toBeGreaterThan(0); // QEMU's ioctls come by it
  }
});

/** Where the DMTCP on PATH was built, if it is a tree with its own plugin for KVM. */
function treeWithKvm(): string | undefined {
  const places = (process.env['PATH'] ?? '').split(':').map((bin) => join(bin, '..'));
  const first = places.find((place) => existsSync(join(place, 'bin/dmtcp_launch')));
  return first !== undefined && existsSync(join(first, 'contrib/kvm/kvm.c')) ? first : undefined;
}
const tree = treeWithKvm();

// Under TCG it has no machine to save: what is shown is that it and ours are loaded together, and come back together.
test.each(tree === undefined ? [] : ['before ours', 'behind ours'])(
  "beside DMTCP's own plugin for KVM, loaded %s",
  async (place) => {
    const theirs = join(directory, 'dmtcp_kvmhijack.so');
    const source = join(tree!, 'contrib/kvm/kvm.c');
    const options = ['-I', join(tree!, 'include'), '-DDMTCP', '-w', '-fPIC', '-shared'];
    execFileSync('cc', [...options, '-o', theirs, source], { stdio: 'pipe' });
    const settings =
      place === 'before ours' ? { kvmPlugin: theirs } : { plugins: [await pluginFile(), theirs] };
    lab = await TrafficLab.boot(underDmtcp(2, 2, settings), LOAD);
    await playRounds(lab, () => {
      for (const { pid } of lab!.live.guests.values()) {
        expect(readFileSync(`/proc/${pid!}/maps`, 'utf8')).toContain(theirs);
      }
    });
  },
);

/** What somebody on a host of the guests' types. */
function checkpointFrom(host: string, port: string): void {
  const words = ['--coord-host', '10.77.0.1', '--coord-port', port, '--checkpoint'];
  ip('netns', 'exec', host, 'dmtcp_command', ...words);
}

test.each(['us', 'dmtcp_command on one of them'])(
  'two hosts, a guest on each, one coordinator and one bridge: begun by %s',
  async (who) => {
    const head = hosts.addNamespace('head'); // where the daemon and the coordinator are
    ip('-n', head, 'link', 'add', 'between', 'type', 'bridge');
    ip('-n', head, 'addr', 'add', '10.77.0.1/24', 'dev', 'between');
    ip('-n', head, 'link', 'set', 'between', 'up');
    const each = [2, 3].map((host) => {
      const name = hosts.addNamespace(`host${host}`);
      const far = ['peer', 'name', 'eth0', 'netns', name];
      ip('-n', head, 'link', 'add', `host${host}`, 'master', 'between', 'type', 'veth', ...far);
      ip('-n', head, 'link', 'set', `host${host}`, 'up');
      ip('-n', name, 'addr', 'add', `10.77.0.${host}/24`, 'dev', 'eth0');
      ip('-n', name, 'link', 'set', 'eth0', 'up');
      return name;
    });
    const home = openFd('/proc/thread-self/ns/net', O_RDONLY);
    enterNamespace(namespacePath(head));
    try {
      const coordinator = await OwnCoordinator.start();
      try {
        const address = `10.77.0.1:${coordinator.port}`;
        lab = await TrafficLab.boot(
          underDmtcp(2, 2, (index) => ({ coordinator: address, netns: each[index] })),
          LOAD,
        );
        for (const name of each) {
          expect(execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).trim()).toMatch(/^\d+/);
          expect(ip('-n', name, '-br', 'link')).not.toContain('tap');
        }
        if (who === 'us') await playRounds(lab);
        else await meetForeign(lab, () => checkpointFrom(each[1]!, coordinator.port));
        await lab.end();
      } finally {
        coordinator.end();
      }
    } finally {
      enterNamespace(`/proc/self/fd/${home}`);
      closeFd(home);
      hosts.close();
    }
  },
);
