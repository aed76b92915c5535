import { describe, expect, test } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import { MAX_NICS, qemuArguments, type QemuFacts } from '../../src/guest/qemu-arguments.js';
import type { QemuDefinition, NicDefinition } from '../../src/definition/definition.js';

const NIC: NicDefinition = {
  name: 'eth0',
  segment: 'lan',
  mac: '52:54:00:00:00:01',
  mtu: 1500,
  model: 'virtio-net-pci',
};
const GUEST: QemuDefinition = {
  qemu: '/usr/bin/qemu-system-x86_64',
  accel: 'tcg',
  machine: 'q35',
  cpus: 1,
  memory: 128,
  args: [],
  nics: [],
};
const FACTS: QemuFacts = { name: 'anna', qmpSocket: '/run/a.qmp', tapFds: [], incoming: false };

const build = (guest: Partial<QemuDefinition> = {}, facts: Partial<QemuFacts> = {}): string[] =>
  qemuArguments({ ...GUEST, ...guest }, { ...FACTS, ...facts });

/** Values of an option, in order. */
const values = (args: readonly string[], option: string): string[] =>
  args.filter((_, index) => args[index - 1] === option);

const withNics = (nics: readonly Partial<NicDefinition>[]): string[] =>
  build({ nics: nics.map((nic) => ({ ...NIC, ...nic })) }, { tapFds: nics.map((_, index) => 3 + index) });

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return StillwireError.from(error).code;
  }
  return 'none';
};

test('the smallest guest, whole', () => {
  expect(build().join(' ')).toBe(
    '-name guest=anna -machine q35 -accel tcg -smp 1 -m 128M -nodefaults -no-user-config -display none ' +
      '-global migration.announce-rounds=0 -global virtio-net-device.guest_announce=off ' +
      '-chardev socket,id=stillwire-qmp,path=/run/a.qmp,server=on,wait=off -mon chardev=stillwire-qmp,mode=control',
  );
});

test('accelerator, processor, kernel, initrd and its parameters', () => {
  const args = build({
    accel: 'kvm',
    cpu: 'max,+avx',
    cpus: 4,
    memory: 256,
    kernel: '/boot/k,1',
    initrd: '/boot/i',
    append: 'console=ttyS0 a=1,2',
  });
  const option = (name: string): string | undefined => values(args, name)[0];
  expect(option('-accel')).toBe('kvm');
  expect(option('-cpu')).toBe('max,+avx');
  expect(option('-smp')).toBe('4');
  expect(option('-m')).toBe('256M');
  expect(option('-kernel')).toBe('/boot/k,1'); // no option list: a comma is a comma
  expect(option('-initrd')).toBe('/boot/i');
  expect(option('-append')).toBe('console=ttyS0 a=1,2');
});

test('the resolved machine type takes the place of the type and leaves the properties', () => {
  const machine = 'pc-q35-7.2';
  expect(values(build({}, { machine }), '-machine')).toEqual(['pc-q35-7.2']);
  expect(values(build({ machine: 'q35,usb=off' }, { machine }), '-machine')).toEqual(['pc-q35-7.2,usb=off']);
});

test('a restart waits for its state, paused; a start does not', () => {
  expect(build({}, { incoming: true }).join(' ')).toContain('-S -incoming defer');
  expect(build()).not.toContain('-S');
  expect(build()).not.toContain('-incoming');
});

test('commas in names and paths are doubled', () => {
  const args = build(
    { console: '/run/a,b.console', consoleLog: '/log/a,b' },
    { name: 'a,b', qmpSocket: '/run/a,b.qmp' },
  );
  expect(values(args, '-name')).toEqual(['guest=a,,b']);
  expect(values(args, '-chardev')).toEqual([
    'socket,id=stillwire-qmp,path=/run/a,,b.qmp,server=on,wait=off',
    'socket,id=stillwire-console,path=/run/a,,b.console,server=on,wait=off,logfile=/log/a,,b,logappend=on',
  ]);
});

describe('console', () => {
  const backend = (guest: Partial<QemuDefinition>): string | undefined => values(build(guest), '-chardev')[1];

  test('socket', () => {
    expect(backend({ console: '/c' })).toBe('socket,id=stillwire-console,path=/c,server=on,wait=off');
    expect(values(build({ console: '/c' }), '-serial')).toEqual(['chardev:stillwire-console']);
  });

  test('log only', () => {
    expect(backend({ consoleLog: '/l' })).toBe('file,id=stillwire-console,path=/l,append=on');
    expect(values(build({ consoleLog: '/l' }), '-serial')).toEqual(['chardev:stillwire-console']);
  });

  test('none', () => {
    expect(build()).not.toContain('-serial');
  });
});

describe('NICs', () => {
  test('TAP by inherited descriptor, fixed PCI address', () => {
    const args = withNics([{}, { mac: '52:54:00:00:00:02' }]);
    expect(values(args, '-netdev')).toEqual([
      'tap,id=stillwire-nic0,fd=3,vhost=off',
      'tap,id=stillwire-nic1,fd=4,vhost=off',
    ]);
    expect(values(args, '-device')).toEqual([
      'virtio-net-pci,netdev=stillwire-nic0,id=stillwire-nic0-device,mac=52:54:00:00:00:01,romfile=,addr=0x10,ctrl_vlan=off',
      'virtio-net-pci,netdev=stillwire-nic1,id=stillwire-nic1-device,mac=52:54:00:00:00:02,romfile=,addr=0x11,ctrl_vlan=off',
    ]);
  });

  test('a datagram pair by its inherited end', () => {
    expect(values(withNics([{ transport: 'dgram' }, {}]), '-netdev')).toEqual([
      'dgram,id=stillwire-nic0,local.type=fd,local.str=3',
      'tap,id=stillwire-nic1,fd=4,vhost=off',
    ]);
  });

  test('MTU is told to virtio only, and only when it is not 1500', () => {
    expect(values(withNics([{ mtu: 9000 }]), '-device')[0]).toMatch(/,host_mtu=9000$/);
    expect(values(withNics([{ mtu: 1500 }]), '-device')[0]).not.toContain('host_mtu');
    expect(values(withNics([{ mtu: 9000, model: 'e1000' }]), '-device')[0]).toBe(
      'e1000,netdev=stillwire-nic0,id=stillwire-nic0-device,mac=52:54:00:00:00:01,romfile=,addr=0x10',
    );
  });

  test('a device that is not on PCI has neither ROM nor address', () => {
    const [device] = values(withNics([{ model: 'virtio-net-device' }]), '-device');
    expect(device).toBe(
      'virtio-net-device,netdev=stillwire-nic0,id=stillwire-nic0-device,mac=52:54:00:00:00:01,ctrl_vlan=off',
    );
  });

  test('addresses differ, and none is the chip set’s', () => {
    const devices = values(withNics(Array.from({ length: MAX_NICS }, () => ({}))), '-device');
    const slots = devices.map((device) => Number(/addr=(0x[0-9a-f]+)/.exec(device)?.[1]));
    expect(new Set(slots).size).toBe(MAX_NICS);
    for (const slot of slots) expect(slot > 2 && slot < 0x1f).toBe(true);
  });

  test('one too many is refused, and so is a TAP too few', () => {
    expect(codeOf(() => withNics(Array.from({ length: MAX_NICS + 1 }, () => ({}))))).toBe('GUEST_FAILED');
    expect(codeOf(() => build({ nics: [NIC] }))).toBe('INTERNAL');
  });
});

test("the user's own arguments come last and as they are", () => {
  const args = ['-device', 'virtio-rng-pci', '-append', 'a,b'];
  expect(build({ args }, { incoming: true }).slice(-4)).toEqual(args);
});

test.each(['qmpSocket', 'console'])('a path too long for a socket is refused: %s', (which) => {
  const path = (bytes: number): string => `/ü${'x'.repeat(bytes - 3)}`;
  const attempt = (bytes: number): string =>
    codeOf(() =>
      which === 'console' ? build({ console: path(bytes) }) : build({}, { qmpSocket: path(bytes) }),
    );
  expect(attempt(107)).toBe('none');
  expect(attempt(108)).toBe('PATH_TOO_LONG');
});
