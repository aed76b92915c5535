/**
 * The plugin for DMTCP, loaded into a program that has real TAPs and is driven through every event, against a daemon's
 * end that this file plays. No DMTCP is needed. What DMTCP itself does around it is another matter (test/guest).
 */
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { sendDescriptor } from '../../src/sys/fd-passing.js';
import {
  closeFd,
  createTap,
  datagramPair,
  enterNamespace,
  namespacePath,
  O_RDONLY,
  openFd,
  readDatagram,
  takesSuperFrames,
} from '../../src/sys/index.js';
import { ip, Lab } from './lab.js';

const PRESUSPEND = 15;
const PRECHECKPOINT = 16;
const RESUME = 17;
const RESTART = 18;
const MULTI_QUEUE = 0x100;
/** TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 */
const OFFLOADS = 7;

const source = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const lab = new Lab('dmtcp');
const directory = mkdtempSync(join(tmpdir(), 'stillwire-dmtcp-'));
const plugin = join(directory, 'stillwire-dmtcp.so');
const hostProgram = join(directory, 'host');
let home: number;
let namespace: string;

beforeAll(() => {
  const strict = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror'];
  const args = [...strict, '-fPIC', '-shared', '-o', plugin, source('plugin/stillwire-dmtcp.c')];
  expect(execFileSync('cc', args, { encoding: 'utf8', stdio: 'pipe' })).toBe('');
  const host = source('test/kernel/programs/dmtcp-host.c');
  execFileSync('cc', [...strict, '-rdynamic', '-o', hostProgram, host, '-ldl'], { stdio: 'pipe' });
  home = openFd('/proc/thread-self/ns/net', O_RDONLY);
  namespace = lab.addNamespace('daemon');
  lab.addNamespace('guest');
  enterNamespace(namespacePath(namespace));
});

afterAll(() => {
  enterNamespace(`/proc/self/fd/${home}`);
  closeFd(home);
  lab.close();
  rmSync(directory, { recursive: true, force: true });
});

/** The daemon's end: what was said to it, and what is to be said. */
class Desk {
  readonly path = join(directory, `s${Math.random().toString(36).slice(2)}`);
  readonly #server: Server;
  readonly #lines: string[] = [];
  readonly #waiting: ((line: string) => void)[] = [];
  #socket: Socket | undefined;
  connections = 0;

  constructor() {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#socket = socket;
      const lines = createInterface(socket);
      for (const emitter of [socket, lines]) emitter.on('error', () => undefined); // resets, when we hang up first
      lines.on('line', (line) => this.#take(line));
      socket.on('close', () => this.#take('(closed)'));
    });
    this.#server.listen(this.path);
  }

  #take(line: string): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#lines.push(line);
    else waiting(line);
  }

  /** The next line, or that the connection was closed. */
  heard(): Promise<string> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  say(text: string): void {
    this.#socket!.write(text);
  }

  /** A line with a descriptor. */
  give(text: string, fd: number): void {
    const handle = Reflect.get(this.#socket!, '_handle') as { readonly fd: number };
    sendDescriptor(handle.fd, Buffer.from(text), fd);
  }

  hangUp(): void {
    this.#socket!.destroy();
  }

  close(): void {
    this.#socket?.destroy();
    this.#server.close();
  }
}

/** The program with the TAPs. */
class Host {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string, undefined>;
  readonly ended: Promise<number | null>;
  /** What it has said, as far as it has been read: that may be a moment after the answer to a command. */
  errors = '';

  private constructor(environment: Record<string, string>) {
    this.#process = spawn('ip', ['netns', 'exec', lab.network('-guest'), hostProgram], {
      env: { ...process.env, LD_PRELOAD: plugin, STILLWIRE_GUEST: 'vm', ...environment },
    });
    this.#answers = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    this.ended = new Promise((resolve) => this.#process.on('close', resolve));
  }

  static async start(environment: Record<string, string> = {}): Promise<Host> {
    const host = new Host(environment);
    expect(await host.#answer()).toBe('ready 4 stillwire');
    return host;
  }

  async #answer(): Promise<string> {
    const next = await this.#answers.next();
    return next.done === true ? '(ended)' : next.value.trim();
  }

  do(command: string): Promise<string> {
    this.#process.stdin.write(`${command}\n`);
    return this.#answer();
  }

  /** A descriptor, as a number. */
  async open(command: string): Promise<number> {
    const fd = Number((await this.do(command)).split(' ')[0]);
    expect(fd).toBeGreaterThan(2);
    return fd;
  }

  event(event: number): Promise<string> {
    return this.do(`event ${event}`);
  }

  async close(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.ended;
  }
}

let desk: Desk;
const hosts: Host[] = [];
const taps: number[] = [];

async function start(environment: Record<string, string> = {}): Promise<Host> {
  desk = new Desk();
  const host = await Host.start({ STILLWIRE_DMTCP_SOCKET: desk.path, ...environment });
  hosts.push(host);
  return host;
}

const newTap = (name: string): number => {
  const fd = createTap(name);
  taps.push(fd);
  return fd;
};

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close();
  for (const fd of taps.splice(0)) closeFd(fd);
  desk.close();
});

/** Goes through a checkpoint up to the end of `last`, with GO to everything. */
async function checkpoint(host: Host, id = 'one', last = RESUME): Promise<string[]> {
  const heard: string[] = [];
  for (const event of [PRESUSPEND, PRECHECKPOINT, RESUME]) {
    const done = host.event(event);
    heard.push(await desk.heard());
    desk.say(event === PRECHECKPOINT ? `GO checkpoint=${id}\n` : 'GO\n');
    expect(await done).toBe('0');
    if (event === last) return heard;
  }
  return heard;
}

describe('a checkpoint', () => {
  test('asks at each event, waits for the answer, and hangs up at the end', async () => {
    const host = await start();
    await host.open('tap one 0');
    await host.open('tap two 0');
    const heard = await checkpoint(host);
    expect(heard[0]).toMatch(/^PRESUSPEND version=1 guest=vm pid=\d+ nics=2$/);
    expect(heard.slice(1)).toEqual(['PRECHECKPOINT', 'RESUME']);
    expect(await desk.heard()).toBe('(closed)');
    expect(desk.connections).toBe(1);
    expect(host.errors).toBe('');
    await checkpoint(host, 'two');
  });

  test('a descriptor that was duplicated is one NIC; without NICs it is asked all the same', async () => {
    const host = await start();
    const done = host.event(PRESUSPEND);
    expect(await desk.heard()).toContain('nics=0');
    desk.say('GO\n');
    await done;
    const tap = await host.open('tap one 0');
    await host.open(`dup ${tap}`);
    const again = host.event(PRESUSPEND);
    expect(await desk.heard()).toBe('(closed)'); // of the checkpoint that was given up
    expect(await desk.heard()).toContain('nics=1');
    desk.say('GO\n');
    await again;
  });

  test('several queues of a TAP are refused: nothing is asked, and the image is told to have no network', async () => {
    const host = await start();
    await host.open(`tap many ${MULTI_QUEUE}`);
    await host.open(`tap many ${MULTI_QUEUE}`);
    for (const event of [PRESUSPEND, PRECHECKPOINT, RESUME]) expect(await host.event(event)).toBe('0');
    expect(desk.connections).toBe(0);
    await expect
      .poll(() => host.errors)
      .toMatch(/guest vm: has a TAP with several queues.*queues=1.*will not restart/);
  });

  test('one queue of several that could be, with a copy of its descriptor, is a NIC', async () => {
    const host = await start();
    await host.open(`dup ${await host.open(`tap many ${MULTI_QUEUE}`)}`);
    const [asked] = await checkpoint(host, 'one', PRESUSPEND);
    expect(asked).toContain('nics=1');
  });

  test('two TAPs of one name are not taken for one', async () => {
    const host = await start();
    await host.open('tap same 0');
    expect(await host.do(`enter ${namespacePath(namespace)}`)).toBe('0');
    await host.open('tap same 0');
    expect(await host.event(PRESUSPEND)).toBe('0');
    expect(desk.connections).toBe(0);
    await expect
      .poll(() => host.errors)
      .toMatch(/two TAPs of one name, from two namespaces.*will not restart/);
  });

  test('a TAP that comes while the daemon holds the network is one too many', async () => {
    const host = await start();
    await host.open('tap one 0');
    await checkpoint(host, '', PRESUSPEND);
    await host.open('tap two 0');
    expect(await host.event(PRECHECKPOINT)).toBe('0');
    expect(await desk.heard()).toBe('(closed)');
    await expect.poll(() => host.errors).toMatch(/got or lost a TAP meanwhile; .*will not restart/);
  });

  test.each([
    ['SKIP reason=no%20checkpoint%20now', 'no checkpoint now'],
    ['REFUSE reason=who%20are%20you', 'who are you'],
    ['NONSENSE', 'NONSENSE'],
    ['GONE', 'GONE'],
    ['A line without an end', 'said more than a line holds'],
    [undefined, 'hung up'],
  ])('%s in place of GO: it goes on without us, and the image has no name', async (words, reason) => {
    for (const event of [PRESUSPEND, PRECHECKPOINT]) {
      const host = await start();
      if (event === PRECHECKPOINT) await checkpoint(host, '', PRESUSPEND);
      const done = host.event(event);
      await desk.heard();
      if (words === undefined) desk.hangUp();
      else desk.say(words.includes('without') ? 'G'.repeat(2000) : `${words}\n`);
      expect(await done).toBe('0');
      for (const left of [PRECHECKPOINT, RESUME]) expect(await host.event(left)).toBe('0');
      await expect
        .poll(() => host.errors)
        .toContain('guest vm: this checkpoint of DMTCP has no network, and will not restart');
      await expect.poll(() => host.errors).toContain(reason);
      const restarted = host.event(RESTART);
      await desk.heard(); // closed
      expect(await desk.heard()).toContain('checkpoint=none');
      desk.say('REFUSE reason=as%20told\n');
      expect([await restarted, await host.ended]).toEqual(['(ended)', 98]);
      desk.close();
    }
  });

  test('what is said behind its image changes nothing about it', async () => {
    const host = await start();
    await checkpoint(host, 'kept', PRECHECKPOINT);
    const done = host.event(RESUME);
    await desk.heard();
    desk.hangUp();
    expect(await done).toBe('0');
    await expect
      .poll(() => host.errors)
      .toBe('stillwire: guest vm: goes on without having been told to: the daemon hung up\n');
    const restarted = host.event(RESTART);
    await desk.heard(); // closed
    expect(await desk.heard()).toContain('checkpoint=kept');
    desk.say('GO\n');
    expect(await restarted).toBe('0');
  });

  test('a daemon that says nothing is waited for as long as was said', async () => {
    const host = await start({ STILLWIRE_DMTCP_TIMEOUT: '1' });
    expect(await host.event(PRESUSPEND)).toBe('0');
    await expect.poll(() => host.errors).toContain('did not answer in time');
  });

  test('without a daemon it goes on', async () => {
    const host = await start({ STILLWIRE_DMTCP_SOCKET: '/nowhere/at/all' });
    for (const event of [PRESUSPEND, PRECHECKPOINT, RESUME]) expect(await host.event(event)).toBe('0');
    await expect.poll(() => host.errors).toContain('no daemon at /nowhere/at/all');
  });

  test('or waits until there is one, if that is wanted', async () => {
    const host = await start({
      STILLWIRE_DMTCP_SOCKET: join(directory, 'later'),
      STILLWIRE_DMTCP_UNREACHABLE: 'wait',
    });
    const done = host.event(PRESUSPEND);
    const late = new Promise<string>((resolve) => {
      setTimeout(() => {
        const server = createServer((socket) => {
          createInterface(socket).on('line', (line) => {
            resolve(line);
            socket.write('GO\n');
            server.close();
          });
        }).listen(join(directory, 'later'));
      }, 300);
    });
    expect(await late).toContain('PRESUSPEND');
    expect(await done).toBe('0');
  });

  test('and asks again if the daemon went away before it answered', async () => {
    const host = await start({ STILLWIRE_DMTCP_UNREACHABLE: 'wait' });
    const done = host.event(PRESUSPEND);
    await desk.heard();
    desk.hangUp();
    expect(await desk.heard()).toBe('(closed)');
    expect(await desk.heard()).toContain('PRESUSPEND');
    desk.say('SKIP reason=no\n'); // which is an answer
    expect(await done).toBe('0');
    await expect
      .poll(() => host.errors)
      .toMatch(/waits for the daemon: the daemon hung up\n.*will not restart: the daemon said no\n$/);
  });

  test('a process that nobody told of a daemon is left alone', async () => {
    const host = await start({ STILLWIRE_DMTCP_SOCKET: '' });
    for (const event of [PRESUSPEND, PRECHECKPOINT, RESUME, RESTART])
      expect(await host.event(event)).toBe('0');
    expect([desk.connections, host.errors]).toEqual([0, '']);
  });
});

describe('a restart', () => {
  test('a datagram socket takes the old place, beside a TAP; one that was not told of is none of ours', async () => {
    const host = await start({ STILLWIRE_DMTCP_SOCKETS: '3,4' });
    const socket = await host.open('socket');
    expect(socket).toBe(3); // and 4 is its other end
    const tap = await host.open('tap one 0');
    await host.open('socket');
    const heard = await checkpoint(host);
    expect(heard[0]).toMatch(/ nics=3$/);
    await host.do('close 3');
    await host.do('lose 4');
    const [ours, theirs] = datagramPair();
    const [other, second] = datagramPair();
    taps.push(ours, theirs, other, second);
    const third = newTap('other1');
    const done = host.event(RESTART);
    expect(await desk.heard()).toBe('(closed)');
    await desk.heard();
    for (const [nic, fd] of [theirs, second, third].entries()) {
      desk.give(`ATTACH nic=${nic}\n`, fd);
      expect(await desk.heard()).toBe(`ATTACHED nic=${nic}`);
    }
    desk.say('GO\n');
    expect(await done).toBe('0');
    expect(await host.do('send 3')).toBe('72');
    expect(readDatagram(ours, Buffer.alloc(100))).toBe(72);
    writeSync(other, Buffer.alloc(90));
    expect(await host.do('read 4')).toBe('90');
    expect(await host.do(`show ${tap}`)).toMatch(/^other1 /);
  });

  test('TAPs of another namespace and other names take the old places, with all that was set', async () => {
    const host = await start();
    const one = await host.open('tap one 0');
    const two = await host.open('tap two 0');
    const twin = await host.open(`dup ${two}`);
    expect(await host.do(`offload ${two} ${OFFLOADS}`)).toBe('0');
    expect(await host.do(`sndbuf ${two} 123456`)).toBe('0');
    await checkpoint(host);
    for (const fd of [one, two, twin]) {
      await host.do(`${fd === one ? 'close' : 'lose'} ${fd}`); // the new one comes in its very place, or another is there
      expect(await host.do(`show ${fd}`)).toBe('nothing');
    }
    const first = newTap('other1');
    const second = newTap('other2');
    for (const name of ['other1', 'other2']) ip('-n', namespace, 'link', 'set', name, 'up');
    const done = host.event(RESTART);
    expect(await desk.heard()).toBe('(closed)');
    expect(await desk.heard()).toMatch(/^RESTART version=1 guest=vm pid=\d+ checkpoint=one nics=2$/);
    desk.give('ATTACH nic=0\n', first);
    expect(await desk.heard()).toBe('ATTACHED nic=0');
    desk.give('ATTACH nic=1\n', second);
    expect(await desk.heard()).toBe('ATTACHED nic=1');
    desk.say('GO\n');
    expect(await done).toBe('0');
    expect(await host.do(`show ${one}`)).toBe('other1 header=12 sndbuf=2147483647 nonblock=1 cloexec=1');
    expect(await host.do(`show ${two}`)).toBe('other2 header=12 sndbuf=123456 nonblock=1 cloexec=1');
    expect(await host.do(`show ${twin}`)).toBe('other2 header=12 sndbuf=123456 nonblock=1 cloexec=0');
    expect([takesSuperFrames('other1'), takesSuperFrames('other2')]).toEqual([false, true]);
    const frames = (): number => {
      const [link] = JSON.parse(ip('-n', namespace, '-s', '-j', 'link', 'show', 'other2')) as {
        stats64: { rx: { packets: number } };
      }[];
      return link!.stats64.rx.packets;
    };
    const before = frames();
    expect(await host.do(`send ${twin}`)).toBe('72');
    expect(frames()).toBe(before + 1);
    ip('-n', namespace, 'addr', 'add', '10.9.9.1/24', 'dev', 'other2');
    ip('-n', namespace, 'neigh', 'add', '10.9.9.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'other2');
    const sender = createSocket('udp4');
    await new Promise((resolve) => sender.send(Buffer.alloc(1000), 9, '10.9.9.2', resolve));
    sender.close();
    let read: string;
    do read = await host.do(`read ${two}`);
    while (Number(read.split(' ')[0]) > 0 && read !== '1054'); // the kernel's own for IPv6 may come first
    expect(read).toBe('1054'); // 12 of header, 14 of Ethernet, 28 of IP and UDP
    expect(await desk.heard()).toBe('(closed)');
    const heard = await checkpoint(host, 'two'); // and again, in its second life
    expect(heard[0]).toContain('nics=2');
  });

  /** Restarts onto TAPs of these names. */
  async function restart(host: Host, ...names: string[]): Promise<void> {
    const done = host.event(RESTART);
    expect(await desk.heard()).toBe('(closed)');
    await desk.heard();
    for (const [nic, name] of names.entries()) {
      desk.give(`ATTACH nic=${nic}\n`, newTap(name));
      expect(await desk.heard()).toBe(`ATTACHED nic=${nic}`);
    }
    desk.say('GO\n');
    expect(await done).toBe('0');
    expect(await desk.heard()).toBe('(closed)');
  }

  test('names that other NICs had before do not mix up what was set, in no life', async () => {
    const host = await start();
    const one = await host.open('tap t1 0');
    const two = await host.open('tap t2 0');
    await host.do(`offload ${two} 0`); // the order in which they were set is not that of the NICs
    await host.do(`offload ${one} ${OFFLOADS}`);
    await checkpoint(host);
    for (const fd of [one, two]) await host.do(`lose ${fd}`);
    await restart(host, 't2', 't1');
    expect([takesSuperFrames('t2'), takesSuperFrames('t1')]).toEqual([true, false]);
    await host.do(`offload ${one} 0`);
    await host.do(`offload ${two} ${OFFLOADS}`);
    await checkpoint(host, 'two');
    for (const fd of [one, two]) await host.do(`lose ${fd}`);
    for (const fd of taps.splice(0)) closeFd(fd);
    await restart(host, 't2', 't3');
    expect([takesSuperFrames('t2'), takesSuperFrames('t3')]).toEqual([false, true]);
  });

  test('a descriptor that was another TAP before brings nothing of that', async () => {
    const host = await start();
    const old = await host.open('tap old 0');
    const one = await host.open('tap one 0');
    await host.do(`offload ${one} 0`);
    await host.do(`offload ${old} ${OFFLOADS}`);
    await host.do(`close ${old}`);
    expect(await host.open(`dup ${one}`)).toBe(old);
    await checkpoint(host);
    for (const fd of [one, old]) await host.do(`lose ${fd}`);
    await restart(host, 'plain');
    expect(takesSuperFrames('plain')).toBe(false);
  });

  test('of a TAP with two descriptors what was set last counts, by whichever', async () => {
    const host = await start();
    const tap = await host.open('tap one 0');
    const twin = await host.open(`dup ${tap}`);
    await host.do(`offload ${twin} 0`);
    await host.do(`offload ${tap} ${OFFLOADS}`);
    await checkpoint(host);
    for (const fd of [tap, twin]) await host.do(`lose ${fd}`);
    await restart(host, 'last1');
    expect(takesSuperFrames('last1')).toBe(true);
    await host.do(`offload ${twin} 0`);
    await checkpoint(host, 'two');
    for (const fd of [tap, twin]) await host.do(`lose ${fd}`);
    await restart(host, 'last2');
    expect(takesSuperFrames('last2')).toBe(false);
  });

  test('what the guest sets while the daemon holds the network is set again', async () => {
    const host = await start();
    const tap = await host.open('tap one 0');
    await checkpoint(host, '', PRESUSPEND);
    await host.do(`header ${tap} 10`);
    await host.do(`offload ${tap} ${OFFLOADS}`);
    for (const event of [PRECHECKPOINT, RESUME]) {
      const done = host.event(event);
      await desk.heard();
      desk.say('GO checkpoint=late\n');
      await done;
    }
    await host.do(`lose ${tap}`);
    await restart(host, 'late');
    expect(await host.do(`show ${tap}`)).toContain('late header=10');
    expect(takesSuperFrames('late')).toBe(true);
  });

  test('finds the daemon where the environment of the restart says', async () => {
    const other = new Desk();
    const host = await start({ RESTART_STILLWIRE_DMTCP_SOCKET: other.path, RESTART_STILLWIRE_GUEST: 'copy' });
    await checkpoint(host);
    const done = host.event(RESTART);
    expect(await other.heard()).toContain('guest=copy');
    other.say('GO\n');
    expect(await done).toBe('0');
    other.close();
  });

  const failures: readonly [string, (host: Host) => void, RegExp][] = [
    ['it is refused', () => desk.say('REFUSE reason=torn%20apart\n'), /refuses it: torn apart/],
    ['the daemon hangs up', () => desk.hangUp(), /hung up/],
    ['the answer makes no sense', () => desk.say('WHAT\n'), /no answer/],
    ['it may go without its TAPs', () => desk.say('GO\n'), /did not hand over a TAP for each/],
    ['no descriptor comes', () => desk.say('ATTACH nic=0\n'), /handed over no descriptor/],
    ['another NIC comes first', () => desk.give('ATTACH nic=1\n', newTap('wrong1')), /no place for/],
    ['no NIC is named', () => desk.give('ATTACH\n', home), /no answer/],
    ['a NIC without a number comes', () => desk.give('ATTACH nic=\n', newTap('wrong2')), /no place for/],
    ['something else comes', () => desk.give('ATTACH nic=0\n', home), /something that is no TAP/],
    ['nothing comes', () => undefined, /did not answer in time/],
  ];
  test.each(failures)('%s: it ends with a word, and has no dead network', async (_, act, words) => {
    const host = await start({ STILLWIRE_DMTCP_TIMEOUT: '1' });
    const tap = await host.open('tap one 0');
    await checkpoint(host, 'cut');
    await host.do(`lose ${tap}`);
    const done = host.event(RESTART);
    await desk.heard(); // closed
    await desk.heard();
    act(host);
    expect([await done, await host.ended]).toEqual(['(ended)', 98]);
    expect(host.errors).toContain('guest vm: cannot be restarted from checkpoint cut');
    expect(host.errors).toMatch(words);
  });

  test('a TAP comes where a socket was: the same', async () => {
    const host = await start({ STILLWIRE_DMTCP_SOCKETS: '3' });
    await host.open('socket');
    await checkpoint(host, 'cut');
    const done = host.event(RESTART);
    await desk.heard(); // closed
    await desk.heard();
    desk.give('ATTACH nic=0\n', newTap('wrong3'));
    expect([await done, await host.ended]).toEqual(['(ended)', 98]);
    expect(host.errors).toContain('something that is no datagram socket');
  });

  test('no daemon is there: it ends with a word', async () => {
    const host = await start();
    await checkpoint(host, 'cut');
    desk.close();
    expect([await host.event(RESTART), await host.ended]).toEqual(['(ended)', 98]);
    expect(host.errors).toMatch(/cannot be restarted from checkpoint cut: the daemon at .* is not there/);
  });
});

test("a hypervisor's RAM is shared with the child that writes the image; not if that is not wanted", async () => {
  expect(await (await start()).do('madvise')).toBe('shared with children');
  desk.close();
  expect(await (await start({ STILLWIRE_DMTCP_KEEP_FORK: '0' })).do('madvise')).toBe('kept from children');
});

test('TAPs are found behind many other descriptors', async () => {
  const host = await start();
  await host.open('tap one 0');
  for (let i = 0; i < 300; i++) await host.open('dup 0');
  await host.open('tap two 0');
  const done = host.event(PRESUSPEND);
  expect(await desk.heard()).toContain('nics=2');
  desk.say('GO\n');
  await done;
});

test('one at a descriptor that is higher than the plugin takes is not lost without a word', async () => {
  const host = await start();
  const tap = await host.open('tap one 0');
  expect(await host.do(`move ${tap} 5000`)).toBe('5000');
  expect(await host.event(PRESUSPEND)).toBe('0');
  expect(desk.connections).toBe(0);
  await expect.poll(() => host.errors).toMatch(/a TAP of a higher descriptor .*will not restart/);
});
