import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Guest } from '../../src/guest/guest.js';
import { startQemu } from '../../src/guest/qemu.js';
import { failure, guestCompliance } from './guest-compliance.js';
import { booted, DEFINITION, monitor, QEMU, startMachine, ticks } from './qemu-machine.js';

guestCompliance('QEMU', {
  start: async (name, directory) => booted(await startMachine(name, directory)),
  restart: (name, directory, stateFile) => startMachine(name, directory, {}, { incoming: { stateFile } }),
  clock: ticks,
  reset: (guest) => monitor(guest, 'system_reset'),
});

const never = new AbortController().signal;
let directory: string;
const guests: Guest[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'qemu-'));
});
afterEach(async () => {
  await Promise.all(guests.splice(0).map((guest) => guest.kill()));
  await rm(directory, { recursive: true, force: true });
});

const start: typeof startMachine = async (...options) => {
  const guest = await startMachine(...options);
  guests.push(guest);
  return guest;
};

describe('starting', () => {
  test('a missing program is named', async () => {
    const error = await failure(startMachine('anna', directory, { qemu: '/nonexistent/qemu' }));
    expect(error.code).toBe('MISSING_PROGRAM');
    expect(error.message).toContain('/nonexistent/qemu');
  });

  test("a QEMU that refuses its arguments: its words, the guest's name, and no process left", async () => {
    const error = await failure(startMachine('anna', directory, { args: ['-device', 'no-such-device'] }));
    expect(error.code).toBe('GUEST_FAILED');
    expect(error.message).toMatch(
      /^guest anna could not be started: QEMU exited with code 1: .*no-such-device/,
    );
  });

  test('a program that is no QEMU', async () => {
    const error = await failure(startMachine('anna', directory, { qemu: '/bin/true' }));
    expect(error.code).toBe('GUEST_FAILED');
    expect(error.message).toContain('code 0');
  });

  test('an abort kills the process and throws its reason', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    // A script that never opens a socket stands in for a QEMU that hangs.
    const script = join(directory, 'hang');
    await writeFile(script, '#!/bin/sh\necho $$ > "$(dirname "$0")/pid"\nexec sleep 60\n', { mode: 0o755 });
    const starting = startQemu({
      name: 'anna',
      definition: { ...DEFINITION, qemu: script },
      tapFds: [],
      runDirectory: directory,
      signal: stop.signal,
    });
    let pid = 0;
    while (!(pid > 0)) pid = Number(await readFile(join(directory, 'pid'), 'utf8').catch(() => '0'));
    stop.abort(reason);
    await expect(starting).rejects.toBe(reason);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  test('QEMU leads a session of its own, and inherits no descriptor but its own', async () => {
    const ours = await open(join(directory, 'ours'), 'w');
    const guest = await start('anna', directory).finally(() => ours.close());
    const line = await readFile(`/proc/${guest.pid!}/stat`, 'utf8');
    const [, , processGroup, session] = line.slice(line.lastIndexOf(')') + 2).split(' ');
    expect([processGroup, session]).toEqual([String(guest.pid), String(guest.pid)]);
    const links = execFileSync('ls', ['-l', `/proc/${guest.pid!}/fd`]).toString();
    expect(links).toContain(join(directory, 'anna.log'));
    expect(links).not.toContain('node_modules');
    expect(links).not.toContain(join(directory, 'ours'));
  });
});

describe('identity', () => {
  test('is the resolved one, as the running QEMU tells it', async () => {
    const guest = await start('anna', directory, { memory: 80, cpu: 'max' });
    const version = /version (\d+\.\d+\.\d+)/.exec(execFileSync(QEMU, ['--version']).toString())![1]!;
    const identity = await guest.identity();
    expect(identity).toMatchObject({ kind: 'qemu', version, cpu: 'max', memory: 80, hashes: {} });
    expect(identity.machine).toMatch(/^pc-q35-\d+\.\d+$/);
  });

  test('a restart uses the resolved machine type in place of the alias', async () => {
    const first = await start('anna', directory, { machine: 'pc' });
    const { machine } = await first.identity();
    expect(machine).toMatch(/^pc-i440fx-/);
    await first.stop();
    await first.save(join(directory, 'state'), never);
    await first.kill();
    const incoming = { stateFile: join(directory, 'state') };
    const error = await failure(startMachine('anna', directory, { machine: 'q35' }, { incoming }));
    expect(error.code).toBe('GUEST_FAILED');
    const second = await start('anna', directory, { machine: 'q35' }, { incoming, machine });
    expect((await second.identity()).machine).toBe(machine);
  });
});

describe('disks', () => {
  const disk = async (name: string): Promise<string> => {
    const path = join(directory, name);
    await writeFile(path, Buffer.alloc(1 << 20));
    return path;
  };

  test('writable ones are found, by -drive, -blockdev and pflash', async () => {
    const [drive, block, flash] = [await disk('drive'), await disk('block'), await disk('flash')];
    const args = [
      ...['-drive', `file=${drive},format=raw,if=virtio,id=d0`],
      ...['-blockdev', `driver=file,filename=${block},node-name=b0`, '-device', 'virtio-blk-pci,drive=b0'],
      ...['-drive', `file=${flash},format=raw,if=pflash`],
    ];
    const disks = await (await start('anna', directory, { args: [...args, '-S'] })).writableDisks();
    expect(disks).toHaveLength(3);
    expect(disks).toEqual(
      expect.arrayContaining([
        { device: 'd0', file: drive },
        { device: 'b0', file: block },
        { device: 'pflash0', file: flash },
      ]),
    );
  });

  test('read-only ones, empty drives and null devices are none', async () => {
    const path = await disk('drive');
    const args = [
      ...['-drive', `file=${path},format=raw,if=virtio,readonly=on`],
      ...['-drive', 'if=none,id=cd,media=cdrom', '-device', 'ide-cd,drive=cd'],
      ...['-blockdev', 'driver=null-co,node-name=n0', '-device', 'virtio-blk-pci,drive=n0'],
    ];
    expect(await (await start('anna', directory, { args })).writableDisks()).toEqual([]);
  });
});

test('the overlay of snapshot=on is a disk: a restart would begin with a fresh one', async () => {
  const path = join(directory, 'drive');
  await writeFile(path, Buffer.alloc(1 << 20));
  const args = ['-drive', `file=${path},format=raw,if=virtio,snapshot=on,id=d0`];
  const disks = await (await start('anna', directory, { args })).writableDisks();
  expect(disks.map(({ device }) => device)).toEqual(['d0']);
});

describe('failures', () => {
  test('a full disk fails the save in words, leaves no file, and the guest runs on', async () => {
    const small = join(directory, 'small');
    await mkdir(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small]);
    try {
      const guest = await booted(await start('anna', directory));
      await guest.stop();
      const error = await failure(guest.save(join(small, 'state'), never));
      expect(error.code).toBe('GUEST_FAILED');
      expect(error.message).toMatch(/^guest anna: saving failed: .*[Nn]o space/);
      expect(await readdir(small)).toEqual([]);
      expect(await guest.save(join(directory, 'state'), never)).toBeGreaterThan(0);
      await guest.resume();
      expect(await guest.runState()).toBe('running');
    } finally {
      execFileSync('umount', [small]);
    }
  });

  test("what QEMU refuses comes with QEMU's words", async () => {
    const guest = await start('anna', directory, {
      args: [
        '-device',
        'ivshmem-plain,memdev=m',
        '-object',
        `memory-backend-file,id=m,share=on,mem-path=${join(directory, 'shm')},size=1M`,
      ],
    });
    await guest.stop();
    const error = await failure(guest.save(join(directory, 'state'), never));
    expect(error.code).toBe('GUEST_FAILED');
    expect(error.message).toMatch(/^guest anna: saving failed: /);
    await guest.resume();
  });

  test('a guest that switches itself off is lost, with the reason', async () => {
    const guest = await booted(await start('anna', directory));
    const lost = new Promise<string>((resolve) => guest.watch(resolve));
    await monitor(guest, 'quit').catch(() => undefined);
    expect(await lost).toMatch(/^guest anna: /);
    expect(await guest.ended).toContain('code 0');
  });

  test('a state of a guest with other memory is refused with the words of QEMU', async () => {
    const guest = await start('anna', directory);
    await guest.stop();
    await guest.save(join(directory, 'state'), never);
    await guest.kill();
    const incoming = { stateFile: join(directory, 'state') };
    const error = await failure(startMachine('anna', directory, { memory: 80 }, { incoming }));
    expect(error.message).toMatch(/^guest anna could not be loaded: QEMU exited .*[Ss]ize mismatch/s);
  });
});
