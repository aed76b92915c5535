import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  describeDefinition,
  parseNetworkFile,
  privilegedPort,
  readNetworkFile,
} from '../../src/definition/index.js';
import type { Surroundings } from '../../src/definition/file.js';
import { deriveMacs } from '../../src/definition/macs.js';
import { FULL, LAN, machinesOf, parse } from './network-file.fixture.js';

describe('a good file', () => {
  test('is resolved: defaults, paths, units, spelling', () => {
    const { definition, ...rest } = parse(FULL);
    expect(rest).toEqual({ path: '/lab/lab.yaml', checkpoints: '/lab/saved' });
    expect(definition.network).toBe('demo');
    expect(definition.segments).toEqual({
      lan: { reservedMulticast: 'forward', ageingSeconds: 300 },
      dmz: { reservedMulticast: 'forward', ageingSeconds: 300 },
      slow: { reservedMulticast: 'drop', ageingSeconds: 300 },
    });
    expect(definition.guests).toStrictEqual({
      a: {
        qemu: '/lab/bin/qemu',
        accel: 'kvm',
        machine: 'pc',
        cpu: 'max',
        cpus: 2,
        memory: 256,
        kernel: '/lab/vmlinuz',
        initrd: '/lab/initrd.gz',
        append: 'console=ttyS0',
        console: '/lab/a.sock',
        consoleLog: '/var/log/a.log',
        args: ['-smbios', '0x10', '1.50', '-netdev', 'user,id=u'],
        disks: 'unmanaged',
        nics: [
          { name: 'eth0', segment: 'lan', mac: '52:54:00:ab:cd:ef', mtu: 9000, vlan: 10, model: 'e1000' },
          {
            name: 'nic1',
            segment: 'dmz',
            mac: expect.stringMatching(/^52:54:00(:[0-9a-f]{2}){3}$/) as string,
            mtu: 1500,
            model: 'virtio-net-pci',
          },
        ],
      },
      b: {
        qemu: '/usr/bin/qemu-system-x86_64',
        accel: 'tcg',
        machine: 'q35',
        cpus: 1,
        memory: 1024,
        kernel: '/lab/vmlinuz',
        args: ['-device', 'virtio-rng-pci'],
        nics: [],
      },
    });
    expect(definition.ports).toStrictEqual({
      host: {
        kind: 'external',
        segment: 'lan',
        device: 'sw-host',
        addresses: ['10.0.0.254/24', 'fd00::1/64'],
        mtu: 1500,
      },
      box: {
        kind: 'device',
        segment: 'slow',
        device: 'eth0',
        netns: 'box1',
        mac: '02:00:00:00:00:01',
        addresses: [],
        mtu: 1400,
        vlan: 7,
      },
      box2: {
        kind: 'device',
        segment: 'slow',
        device: 'eth0',
        netns: 'box2',
        mac: expect.stringMatching(/^52:54:00/) as string,
        addresses: [],
        mtu: 1500,
      },
    });
  });

  test('is read the same each time', () => {
    expect(JSON.stringify(parse(FULL))).toBe(JSON.stringify(parse(FULL)));
  });

  test('survives JSON, as the manifest stores it', () => {
    const { definition } = parse(FULL);
    expect(JSON.parse(JSON.stringify(definition))).toStrictEqual(definition);
  });

  test('may be as small as one segment', () => {
    const { definition } = parse('segments: { lan: }');
    expect(definition.network).toBe('lab');
    expect(definition.guests).toEqual({});
    expect(definition.ports).toEqual({});
  });

  test('takes its name from the file, or for stillwire.yaml from the directory', () => {
    expect(parse('segments: {lan: {}}', '/x/two.v2.yml').definition.network).toBe('two.v2');
    expect(parse('segments: {lan: {}}', '/x/mesh/stillwire.yaml').definition.network).toBe('mesh');
  });

  test('may use aliases, and names that objects have of their own', () => {
    const text =
      'segments: {lan: {}}\nguests:\n  constructor: &g\n    nics: [{segment: lan}]\n  toString: *g\n  7: *g\n';
    const guests = machinesOf(parse(text).definition);
    expect(Object.keys(guests).sort()).toEqual(['7', 'constructor', 'toString']);
    expect(new Set(Object.values(guests).map((guest) => guest.nics[0]?.mac)).size).toBe(3);
  });

  test('a guest gives all of a list itself, or all of it comes from the defaults', () => {
    const text = `segments: {lan: {}}
defaults: { args: [-no-reboot], nics: [{ segment: lan }] }
guests: { a: { args: [] }, b: { nics: } }`;
    const { a, b } = machinesOf(parse(text).definition);
    expect([a?.args, a?.nics.length, b?.args, b?.nics.length]).toEqual([[], 1, ['-no-reboot'], 0]);
  });

  test.each([
    ['128', 128],
    ['128M', 128],
    ['2G', 2048],
    ['512MiB', 512],
  ])('memory %s is %i MiB', (written, mib) => {
    const text = `segments: {lan: {}}\nguests: {a: {memory: ${written}}}`;
    expect(machinesOf(parse(text).definition)['a']?.memory).toBe(mib);
  });

  test.each([
    ['20', 20],
    ['20s', 20],
    ['5m', 300],
    ['1h', 3600],
  ])('ageing %s is %i seconds', (written, seconds) => {
    expect(parse(`segments: {lan: {ageing: ${written}}}`).definition.segments['lan']?.ageingSeconds).toBe(
      seconds,
    );
  });
});

describe('datagrams', () => {
  const FILE = `network: n
transport: dgram
segments: {lan: {}}
guests:
  a: {nics: [{segment: lan}, {segment: lan, transport: tap}]}
ports:
  p: {segment: lan, kind: dgram, path: ./p.sock, peer: /run/q.sock, vlan: 3}
`;

  test('one word for all NICs, one for a NIC; a TAP is what goes without saying', () => {
    const { definition } = parse(FILE);
    const { ports } = definition;
    expect(machinesOf(definition)['a']?.nics.map(({ transport }) => transport)).toEqual(['dgram', undefined]);
    expect(ports['p']).toEqual({
      ...{ kind: 'dgram', segment: 'lan', path: '/lab/p.sock', peer: '/run/q.sock', mtu: 1500, vlan: 3 },
    });
    const lines = describeDefinition(parse(FILE)).split('\n');
    expect(lines.find((line) => line.startsWith('    a/nic0'))).toMatch(/ virtio-net-pci {2}dgram$/);
    expect(lines.at(-1)).toBe('  p  dgram on lan  socket /lab/p.sock to /run/q.sock  mtu 1500  vlan 3');
  });

  test('who needs root is named; a network of datagrams alone needs none', () => {
    expect(privilegedPort(parse(FILE).definition)).toBe('a/nic1 is a TAP');
    expect(privilegedPort(parse(FILE.replace('tap', 'dgram')).definition)).toBeUndefined();
    const veth = 'ports:\n  h: {segment: lan, kind: external, device: x}\n';
    expect(privilegedPort(parse(LAN + veth).definition)).toBe('h is a port of kind external');
  });
});

describe('an adopted guest', () => {
  const adopted = (keys: string): string => `${LAN}guests: {db: {${keys}}}`;

  test('is a QMP socket and TAPs that are there, and nothing of a machine', () => {
    const text = adopted(
      'adopt: {qmp: db.sock, restart: [bin/qemu, -x]}, nics: [{segment: lan, device: tap7, vlan: 3}]',
    );
    expect(parse(text).definition.guests).toStrictEqual({
      db: {
        adopt: { qmp: '/lab/db.sock', restart: ['/lab/bin/qemu', '-x'] },
        nics: [{ name: 'nic0', segment: 'lan', device: 'tap7', mtu: 1500, vlan: 3 }],
      },
    });
  });

  test.each([
    ['adopt: {qmp: q}, memory: 128', /unknown key "memory"/],
    ['adopt: {}', /missing key "qmp"/],
    ['adopt: {qmp: q, restart: []}', /restart/],
    ['adopt: {qmp: q, restart: [nosuch]}', /restart: no program nosuch/],
    ['adopt: {qmp: q}, nics: [{segment: lan}]', /missing key "device"/],
    ['adopt: {qmp: q}, nics: [{segment: lan, device: t, model: e1000}]', /unknown key "model"/],
    [
      'adopt: {qmp: q}, nics: [{segment: lan, device: t}, {segment: lan, device: t}]',
      /device "t" is that of/,
    ],
    [`adopt: {qmp: ${'x'.repeat(120)}}`, /at most 107 bytes/],
  ])('%s is refused', (keys, fault) => {
    expect(() => parse(adopted(keys))).toThrow(fault);
  });

  test('takes no defaults', () => {
    const text = `${LAN}defaults: {kernel: ./vmlinuz}\nguests: {db: {adopt: {qmp: q}}}`;
    expect(parse(text).definition.guests['db']).toStrictEqual({ adopt: { qmp: '/lab/q' }, nics: [] });
  });

  test('is described', () => {
    const text = adopted('adopt: {qmp: db.sock}, nics: [{segment: lan, device: tap7}]');
    expect(describeDefinition(parse(text))).toMatch(
      /QMP \/lab\/db.sock\n +restart +not possible[^]*device tap7/,
    );
  });
});

describe('derived MACs', () => {
  const macs = (text: string): unknown[] =>
    Object.values(machinesOf(parse(text).definition)).flatMap((guest) => guest.nics.map((nic) => nic.mac));

  test('are those of network and port, wherever they stand in the file', () => {
    const one =
      'network: n\nsegments: {lan: {}}\nguests: {a: {nics: [segment: lan]}, b: {nics: [segment: lan]}}';
    const two =
      'network: n\nsegments: {lan: {}}\nguests: {b: {nics: [segment: lan]}, a: {nics: [segment: lan]}}';
    // Pinned: a change here changes the MACs of every network that is up.
    expect(macs(one)).toEqual(['52:54:00:40:c8:19', '52:54:00:7e:fd:b4']);
    expect(macs(two)).toEqual([...macs(one)].reverse());
    expect(macs(one.replace('network: n', 'network: m'))).not.toEqual(macs(one));
  });

  test('never are those of another port', () => {
    const [derived] = deriveMacs('n', ['a/nic0'], new Map()).values();
    const macs = deriveMacs('n', ['a/nic0', 'z/nic0'], new Map([['z/nic0', derived!]]));
    expect(macs.get('z/nic0')).toBe(derived);
    expect(macs.get('a/nic0')).not.toBe(derived);
    // 24 bits: among 9000 ports a collision of the plain hashes is all but certain.
    const many = Array.from({ length: 9000 }, (_, i) => `g${i}/nic0`);
    expect(new Set(deriveMacs('n', many, new Map()).values()).size).toBe(many.length);
  });
});

describe('a dry run', () => {
  test('shows segments, guests with their NICs, and ports', () => {
    const lines = describeDefinition(parse(FULL)).split('\n');
    expect(lines.slice(0, 3)).toEqual([
      'network demo',
      '  file         /lab/lab.yaml',
      '  checkpoints  /lab/saved',
    ]);
    expect(lines).toContain('  lan   ageing 300 s  reserved multicast: forward  2 ports');
    expect(lines).toContain('    machine  /lab/bin/qemu, pc, kvm, cpu max, cpus 2, 256 MiB');
    expect(lines.find((line) => line.startsWith('    a/eth0'))).toBe(
      '    a/eth0  on lan  52:54:00:ab:cd:ef  mtu 9000  vlan 10              e1000',
    );
    expect(lines.find((line) => line.startsWith('  host'))).toBe(
      '  host  external on lan  device sw-host                 mtu 1500  untagged and tagged  10.0.0.254/24 fd00::1/64',
    );
  });
});

describe('the file itself', () => {
  let dir = '';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'stillwire-file-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  const write = async (name: string, bytes: string | Uint8Array): Promise<string> => {
    await writeFile(join(dir, name), bytes);
    return join(dir, name);
  };

  test('is read, and looked up on this machine', async () => {
    await write('vmlinuz', 'x');
    const path = await write('lab.yaml', `${LAN}guests: {a: {qemu: sh, kernel: vmlinuz}}\n`);
    const guests = machinesOf((await readNetworkFile(path)).definition);
    expect(guests['a']?.qemu).toMatch(/^\/.*\/sh$/);
    expect(guests['a']?.kernel).toBe(join(dir, 'vmlinuz'));
  });

  test('a directory is no kernel, and a file without the right to run it no program', async () => {
    await write('plain', 'x');
    const path = await write('lab.yaml', `${LAN}guests: {a: {qemu: ./plain, kernel: .}}\n`);
    await expect(readNetworkFile(path)).rejects.toThrow(
      `${path}:2:20: qemu: no program ${dir}/plain\n${path}:2:37: kernel: no readable file ${dir}`,
    );
  });

  test.each([
    ['missing.yaml', 'no such file'],
    ['.', 'it is a directory'],
    ['vmlinuz/x', 'no such file'],
  ])('%s cannot be read: %s', async (name, why) => {
    const path = join(dir, name);
    await expect(readNetworkFile(path)).rejects.toMatchObject({
      code: 'FILE_INVALID',
      message: `cannot read ${path}: ${why}`,
    });
  });

  test('is not read beyond its bound', async () => {
    await expect(readNetworkFile('/dev/zero')).rejects.toThrow('/dev/zero:1:1: the file has 262145 bytes');
  });

  test('must be UTF-8', async () => {
    const path = await write('latin.yaml', Buffer.from('network: \ufffdx\n# ä\xe4\n', 'latin1'));
    await expect(readNetworkFile(path)).rejects.toThrow(`${path}:1:10: not UTF-8 text`);
    const later = await write(
      'later.yaml',
      Buffer.concat([Buffer.from('# \ufffd ä\n# ä '), Buffer.from([0xef, 0xbf])]),
    );
    await expect(readNetworkFile(later)).rejects.toThrow(`${later}:2:5: not UTF-8 text`);
  });

  test('the example is a good one', async () => {
    const path = new URL('../../examples/two-guests/stillwire.yaml', import.meta.url).pathname;
    const everything: Surroundings = { isFile: () => true, findProgram: (name) => `/usr/bin/${name}` };
    const { definition } = parseNetworkFile(await readFile(path, 'utf8'), path, { environment: everything });
    expect(definition.network).toBe('two-guests');
    expect(Object.values(definition.guests).map(({ nics }) => nics.map(({ segment }) => segment))).toEqual([
      ['lan'],
      ['lan'],
    ]);
  });
});
