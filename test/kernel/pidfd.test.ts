/** Processes we did not start: known by pidfd, their descriptors duplicated, their TAPs recognised. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  attachTap,
  closeFd,
  createTap,
  enterNamespace,
  fdsOpenOn,
  hasEnded,
  killByPidfd,
  linkIndex,
  namespacePath,
  O_RDONLY,
  openFd,
  openPidfd,
  peerCredentials,
  setTapPersistent,
  startTimeOf,
  takeFd,
  tapFacts,
  tapNamespace,
  TUN_DEVICE,
} from '../../src/sys/index.js';
import { Lab } from './lab.js';

const lab = new Lab('pidfd');
const children: ChildProcess[] = [];
let home: number;
let namespace: string;

beforeAll(() => {
  home = openFd('/proc/thread-self/ns/net', O_RDONLY);
  namespace = namespacePath(lab.addNamespace('home'));
  enterNamespace(namespace);
});

afterAll(() => {
  enterNamespace(`/proc/self/fd/${home}`);
  closeFd(home);
  for (const child of children) child.kill('SIGKILL');
  lab.close();
});

/** A process that keeps the given descriptors as its 3 and following. */
async function keeper(...fds: number[]): Promise<ChildProcess & { pid: number }> {
  const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', ...fds] });
  children.push(child);
  await once(child, 'spawn');
  return child as ChildProcess & { pid: number };
}

test('a process is known by pid and start; another start is another process, and is not hit', async () => {
  const child = await keeper();
  const start = startTimeOf(child.pid);
  expect(openPidfd(child.pid, '1')).toBeUndefined();
  const pidfd = openPidfd(child.pid, start)!;
  expect(hasEnded(pidfd)).toBe(false);
  killByPidfd(pidfd);
  await once(child, 'exit');
  expect(hasEnded(pidfd)).toBe(true);
  killByPidfd(pidfd); // gone, and no error
  expect(startTimeOf(child.pid)).toBeUndefined();
  expect(openPidfd(child.pid, start)).toBeUndefined();
  closeFd(pidfd);
});

test('a TAP that another process holds is found, duplicated and recognised; the duplicate keeps it alive', async () => {
  const tun = createTap('pf0');
  const other = createTap('pf1');
  const child = await keeper(tun, other);
  closeFd(tun);
  closeFd(other);
  const found = fdsOpenOn(child.pid, TUN_DEVICE);
  expect(found).toEqual([3, 4]);
  const pidfd = openPidfd(child.pid)!;
  const own = found.map((fd) => takeFd(pidfd, fd));
  expect(own.map((fd) => tapFacts(fd).device)).toEqual(['pf0', 'pf1']);
  expect(tapFacts(own[0]!)).toMatchObject({
    tap: true,
    vnetHeader: true,
    multiQueue: false,
    persistent: false,
  });
  expect(tapNamespace(own[0]!)).toBe(statSync(namespace).ino);
  killByPidfd(pidfd);
  await once(child, 'exit');
  expect(linkIndex('pf0')).toBeGreaterThan(0);
  for (const fd of own) closeFd(fd);
  expect(() => linkIndex('pf0')).toThrow(/ENODEV/);
  expect(() => takeFd(pidfd, 3)).toThrow(/ESRCH/);
  closeFd(pidfd);
});

test('a persistent TAP outlives its holder, is taken up by one at a time, and goes when it no longer persists', () => {
  const first = createTap('pf2');
  setTapPersistent(first, true);
  expect(tapFacts(first).persistent).toBe(true);
  expect(() => attachTap('pf2')).toThrow(/EBUSY/);
  const index = linkIndex('pf2');
  closeFd(first);
  expect(linkIndex('pf2')).toBe(index);
  expect(() => createTap('pf2')).toThrow(/EBUSY/);
  const second = attachTap('pf2');
  setTapPersistent(second, false);
  closeFd(second);
  expect(() => linkIndex('pf2')).toThrow(/ENODEV/);
});

test('who listens at the other end of a unix socket', async () => {
  const path = `/tmp/pidfd-${process.pid}.sock`;
  const server = createServer().listen(path);
  await once(server, 'listening');
  const client = connect(path);
  await once(client, 'connect');
  const { fd } = (client as unknown as { _handle: { fd: number } })._handle;
  expect(peerCredentials(fd)).toEqual({ pid: process.pid, uid: process.getuid!(), gid: process.getgid!() });
  client.destroy();
  server.close();
});
