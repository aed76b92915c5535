/** Every fault a network file can have, each told at its very place and nothing else told beside it. */
import { describe, expect, test } from 'vitest';
import { parseNetworkFile } from '../../src/definition/file.js';
import type { Fault, Surroundings } from '../../src/definition/file.js';
import { NAME_RULE } from '../../src/definition/names.js';
import { failure, faultsOf, LAN, parse } from './network-file.fixture.js';

/** The faults of a text, in which ‸ marks where each is expected. */
function expectFaults(marked: string, messages: readonly string[]): void {
  const parts = marked.split('‸');
  const expected = messages.map((message, i): Fault => {
    const lines = parts
      .slice(0, i + 1)
      .join('')
      .replace('\uFEFF', '')
      .split('\n');
    return { line: lines.length, column: lines.at(-1)!.length + 1, message };
  });
  expect(parts.length, 'as many marks as messages').toBe(messages.length + 1);
  expect(faultsOf(failure(parts.join('')))).toEqual(expected);
}

const guest = (keys: string): string => `${LAN}guests: {a: {${keys}}}\n`;
const nic = (keys: string): string => `${LAN}guests:\n  a:\n    nics:\n      - {${keys}}\n`;
const port = (keys: string): string => `${LAN}ports:\n  p: {segment: lan, ${keys}}\n`;
const CIDR = 'an address with its prefix length, such as 10.0.0.1/24 or fd00::1/64';
const long = 'x'.repeat(120);

const FAULTS: readonly (readonly [what: string, text: string, messages: readonly string[]])[] = [
  ['no text', '‸', ['missing key "segments": expected at least one segment, such as "lan: {}"']],
  ['a list', '‸- a', ['expected a map with the keys of a network file, found a list']],
  ['text', '‸hello', ['expected a map with the keys of a network file, found "hello"']],
  [
    'syntax',
    'segments: {lan: {}\n‸guests: {}\n',
    ['Flow map in block collection must be sufficiently indented and end with a }'],
  ],
  ['a tab', 'segments:\n‸	lan: {}\n', ['Tabs are not allowed as indentation']],
  ['two documents', LAN + '‸---\na: b\n', ['a second YAML document begins here; a network file is one']],
  ['a tag', 'segments: {lan: ‸!x {}}\n', ['Unresolved tag: !x']],
  ['a map as key', LAN + '? ‸{a: b}\n: c\n', ['a key must be text']],
  [
    'a duplicate key',
    LAN + 'guests:\n  a: {cpus: 1}\n  b: {}\n  ‸"a": {}\n',
    ['key "a" is given twice; first on line 3'],
  ],
  ['a duplicate number', LAN + 'guests: {7: {}, ‸"7": {}}\n', ['key "7" is given twice; first on line 2']],
  ['an unknown key', LAN + '‸gusts: {}\n', ['unknown key "gusts"; did you mean "guests"?']],
  ['an unknown key of a guest', guest('‸kernal: x'), ['unknown key "kernal"; did you mean "kernel"?']],
  [
    'an unknown key of a segment',
    'segments:\n  lan: {‸frobnicate: 1}\n',
    ['unknown key "frobnicate"; a segment may have: reservedMulticast, ageing'],
  ],
  [
    'two swapped letters',
    nic('segment: lan, mtu: 1500, ‸vlna: 1'),
    ['unknown key "vlna"; did you mean "vlan"?'],
  ],
  [
    'a key of another kind of port',
    port('kind: external, device: x, ‸mac: 02:00:00:00:00:01'),
    ['unknown key "mac"; a port of kind external may have: kind, segment, device, addresses, mtu, vlan'],
  ],
  [
    'a merge key',
    LAN + 'guests:\n  a: {‸<<: {cpus: 2}}\n',
    ['unknown key "<<": YAML 1.2 has no merge keys; see "defaults"'],
  ],
  [
    'a prototype',
    LAN + '‸__proto__: {network: x}\n',
    [
      'unknown key "__proto__"; a network file may have: network, segments, guests, ports, checkpoints, transport, defaults',
    ],
  ],
  [
    'no segments',
    '‸guests: {}\n',
    ['missing key "segments": expected at least one segment, such as "lan: {}"'],
  ],
  ['empty segments', 'network: x\n‸segments:\n', ['segments: a network has at least one, such as "lan: {}"']],
  [
    'segments as list',
    'segments: ‸[lan]\n',
    ['segments: expected a map with the keys of segments, found a list'],
  ],
  ['a guest as text', LAN + 'guests: {a: ‸on}\n', ['a: expected a map with the keys of a guest, found "on"']],
  [
    'a default that guests cannot share',
    LAN + 'defaults: {‸console: x}\n',
    [
      'unknown key "console"; defaults may have: qemu, accel, machine, cpu, cpus, memory, kernel, initrd, append, args, disks, nics, dmtcp',
    ],
  ],
  [
    'a number for text',
    guest('cpu: ‸486'),
    ['cpu: expected text, found 486 (text of this form needs quotes)'],
  ],
  [
    'text for a number',
    guest('cpus: ‸two'),
    ['cpus: expected a whole number of processors, 1 to 255, found "two"'],
  ],
  ['a list for text', guest('machine: ‸[q35]'), ['machine: expected text, found a list']],
  ['nothing for text', guest('‸machine: '), ['machine: expected text, found nothing']],
  ['a map for a list', guest('nics: ‸{}'), ['nics: expected a list of NICs, found a map']],
  ['a boolean', guest('accel: ‸true'), ['accel: expected tcg or kvm, found true']],
  ['no such accel', guest('accel: ‸kmv'), ['accel: expected tcg or kvm, found "kmv"']],
  ['disks', guest('disks: ‸managed'), ['disks: expected unmanaged, found "managed"']],
  ['a fraction', guest('cpus: ‸1.5'), ['cpus: expected a whole number of processors, 1 to 255, found 1.5']],
  ['no cpu', guest('cpus: ‸0'), ['cpus: expected a whole number of processors, 1 to 255, found 0']],
  [
    'not a number',
    guest('cpus: ‸.nan'),
    ['cpus: expected a whole number of processors, 1 to 255, found NaN'],
  ],
  [
    'too little memory',
    guest('memory: ‸15'),
    ['memory: expected MiB, 16 to 1048576, or text such as "128M" or "1G", found 15'],
  ],
  [
    'too much memory',
    guest('memory: ‸1025G'),
    ['memory: expected MiB, 16 to 1048576, or text such as "128M" or "1G", found "1025G"'],
  ],
  [
    'memory in words',
    guest('memory: ‸lots'),
    ['memory: expected MiB, 16 to 1048576, or text such as "128M" or "1G", found "lots"'],
  ],
  [
    'ageing',
    'segments: {lan: {ageing: ‸0}}',
    ['ageing: expected whole seconds, 1 to 1000000, or text such as "300s" or "5m", found 0'],
  ],
  [
    'reserved multicast',
    'segments: {lan: {reservedMulticast: ‸yes}}',
    ['reservedMulticast: expected forward or drop, found "yes"'],
  ],
  [
    'an MTU too small',
    nic('segment: lan, mtu: ‸575'),
    ['mtu: expected a whole number of bytes, 576 to 9216, found 575'],
  ],
  [
    'an MTU too large',
    nic('segment: lan, mtu: ‸9217'),
    ['mtu: expected a whole number of bytes, 576 to 9216, found 9217'],
  ],
  ['VLAN 0', nic('segment: lan, vlan: ‸0'), ['vlan: expected a VLAN, 1 to 4094, found 0']],
  [
    'VLAN 4095',
    port('kind: external, device: x, vlan: ‸4095'),
    ['vlan: expected a VLAN, 1 to 4094, found 4095'],
  ],
  [
    'a model with properties',
    nic('segment: lan, model: ‸"e1000,x=1"'),
    ['model: expected a QEMU device model such as virtio-net-pci, without properties, found "e1000,x=1"'],
  ],
  [
    'no segment of a NIC',
    LAN + 'guests:\n  a:\n    nics:\n      - ‸{mtu: 1500}\n',
    ['missing key "segment": expected the name of a segment'],
  ],
  ['an unknown segment', nic('segment: ‸lna'), ['no segment "lna"; did you mean "lan"?']],
  [
    'a segment far from any',
    'segments: {lan: {}, dmz: {}}\nguests: {a: {nics: [segment: ‸office]}}\n',
    ['no segment "office"; there are: lan, dmz'],
  ],
  [
    'an unknown segment of a port',
    LAN + 'ports: {p: {segment: ‸Lam, kind: external, device: x}}\n',
    ['no segment "Lam"; did you mean "lan"?'],
  ],
  [
    'a short MAC',
    nic('segment: lan, mac: ‸52:54:00:00:01'),
    ['mac: expected a MAC address such as 52:54:00:12:34:56, found "52:54:00:00:01"'],
  ],
  [
    'a multicast MAC',
    nic('segment: lan, mac: ‸01:80:c2:00:00:01'),
    ['mac: 01:80:c2:00:00:01 is a multicast address (its first octet is odd); no station can have it'],
  ],
  [
    'a MAC of zeros',
    nic('segment: lan, mac: ‸00:00:00:00:00:00'),
    ["mac: 00:00:00:00:00:00 is no station's address"],
  ],
  [
    'a duplicate MAC',
    LAN +
      'guests:\n  a: {nics: [{segment: lan, mac: 02:00:00:00:00:0A}]}\n  b: {nics: [{segment: lan, mac: ‸02:00:00:00:00:0a}]}\n',
    ['MAC 02:00:00:00:00:0a is that of a/nic0 too, on line 3'],
  ],
  [
    'a duplicate MAC of a port',
    LAN +
      'guests:\n  a: {nics: [{segment: lan, mac: 02:00:00:00:00:0a}]}\nports:\n  p: {segment: lan, kind: device, device: d, mac: ‸02:00:00:00:00:0a}\n',
    ['MAC 02:00:00:00:00:0a is that of a/nic0 too, on line 3'],
  ],
  [
    'a duplicate NIC name',
    LAN + 'guests:\n  a:\n    nics:\n      - {segment: lan, name: x}\n      - {segment: lan, name: ‸x}\n',
    ['NIC name "x" is that of another NIC of guest "a" too, on line 5'],
  ],
  [
    "a NIC with another's default name",
    LAN + 'guests:\n  a:\n    nics:\n      - {segment: lan}\n      - {segment: lan, name: ‸nic0}\n',
    ['NIC name "nic0" is that of another NIC of guest "a" too, on line 5'],
  ],
  ['a bad NIC name', nic('segment: lan, name: ‸a/b'), [`name: expected a name of ${NAME_RULE}, found "a/b"`]],
  ['a bad guest name', LAN + 'guests: {‸-a: {}}\n', [`guest name "-a": expected ${NAME_RULE}`]],
  ['a bad segment name', 'segments: {‸"l n": {}}\n', [`segment name "l n": expected ${NAME_RULE}`]],
  [
    'a port named as a guest',
    LAN + 'guests:\n  a:\nports:\n  ‸a: {segment: lan, kind: external, device: x}\n',
    ['port name "a" is that of a guest too, on line 3'],
  ],
  [
    'a port of no kind',
    LAN + 'ports:\n  p: ‸{segment: lan, device: x}\n',
    ['missing key "kind": expected external, device or dgram'],
  ],
  [
    'a port of a wrong kind',
    port('kind: ‸tap, device: x'),
    ['kind: expected external, device or dgram, found "tap"'],
  ],
  [
    'a port without device',
    LAN + 'ports:\n  p: ‸{segment: lan, kind: external}\n',
    ['missing key "device": expected the name of a network device'],
  ],
  [
    'an empty port',
    LAN + 'ports:\n  ‸‸p:\n',
    [
      'missing key "kind": expected external, device or dgram',
      'missing key "segment": expected the name of a segment',
    ],
  ],
  [
    'a transport that there is not',
    nic('segment: lan, transport: ‸stream'),
    ['transport: expected tap or dgram, found "stream"'],
  ],
  ['the same of all', LAN + 'transport: ‸udp\n', ['transport: expected tap or dgram, found "udp"']],
  [
    'a datagram port without its sockets',
    LAN + 'ports:\n  p: ‸‸{segment: lan, kind: dgram}\n',
    ['missing key "path": expected a path', 'missing key "peer": expected a path'],
  ],
  [
    'a datagram port with a device',
    port('kind: dgram, path: a, peer: b, ‸device: x'),
    ['unknown key "device"; a port of kind dgram may have: kind, segment, mtu, vlan, path, peer'],
  ],
  [
    'a datagram port that speaks to itself',
    LAN + 'ports:\n  p: {segment: lan, kind: dgram, path: a, peer: ‸./a}\n',
    ['peer: /lab/a is that of port "p" too, on line 3'],
  ],
  [
    'a socket at the end of a long path',
    port(`kind: dgram, path: ‸/${'x'.repeat(107)}, peer: b`),
    [`path: a unix socket's path has at most 107 bytes, this one 108: /${'x'.repeat(107)}`],
  ],
  [
    'a long device name',
    port('kind: external, device: ‸sixteencharslong'),
    ['device: device name "sixteencharslong" has 16 bytes; the kernel takes 15'],
  ],
  [
    'a device name of many bytes',
    port('kind: external, device: ‸ääääääää'),
    ['device: device name "ääääääää" has 16 bytes; the kernel takes 15'],
  ],
  [
    'a device name with a slash',
    port('kind: external, device: ‸a/b'),
    ['device: device name "a/b" must not have spaces, control characters, "/", ":" or "%"'],
  ],
  [
    'a device name with a space',
    port('kind: external, device: ‸a b'),
    ['device: device name "a b" must not have spaces, control characters, "/", ":" or "%"'],
  ],
  ['the loopback', port('kind: device, device: ‸lo'), ['device: device name "lo" is reserved']],
  [
    'a duplicate device',
    LAN +
      'ports:\n  p: {segment: lan, kind: external, device: x}\n  q: {segment: lan, kind: device, device: ‸x}\n',
    ['device name "x" is that of port "p" too, on line 3'],
  ],
  [
    'an address without prefix',
    port('kind: external, device: x, addresses: [10.0.0.1/24, ‸10.0.0.2]'),
    [`addresses[1]: expected ${CIDR}, found "10.0.0.2"`],
  ],
  [
    'a prefix too long',
    port('kind: external, device: x, addresses: [‸10.0.0.1/33]'),
    [`addresses[0]: expected ${CIDR}, found "10.0.0.1/33"`],
  ],
  [
    'an IPv6 prefix too long',
    port('kind: external, device: x, addresses: [‸"fd00::1/129"]'),
    [`addresses[0]: expected ${CIDR}, found "fd00::1/129"`],
  ],
  [
    'an address with a zone',
    port('kind: external, device: x, addresses: [‸"fe80::1%x/64"]'),
    [`addresses[0]: expected ${CIDR}, found "fe80::1%x/64"`],
  ],
  [
    'addresses as text',
    port('kind: external, device: x, addresses: ‸10.0.0.1/24'),
    ['addresses: expected a list of addresses such as [10.0.0.1/24], found "10.0.0.1/24"'],
  ],
  [
    'a relative namespace',
    port('kind: device, device: x, netns: ‸a/b'),
    ['netns: expected the name of a network namespace or an absolute path, found "a/b"'],
  ],
  ['a missing kernel', guest('kernel: ‸./bzImage'), ['kernel: no readable file /lab/bzImage']],
  ['a missing initrd', guest('kernel: vmlinuz, initrd: ‸../x'), ['initrd: no readable file /x']],
  [
    'a missing default kernel',
    LAN + 'defaults: {kernel: ‸x}\nguests: {a: {}, b: {}}\n',
    ['kernel: no readable file /lab/x'],
  ],
  [
    'initrd without kernel',
    guest('initrd: ‸initrd.gz'),
    ['initrd: QEMU takes it only with a kernel, and guest "a" has none'],
  ],
  [
    'append without kernel',
    guest('append: ‸quiet'),
    ['append: QEMU takes it only with a kernel, and guest "a" has none'],
  ],
  ['no such program', guest('qemu: ‸qemu-system-vax'), ['qemu: no program "qemu-system-vax" on PATH']],
  ['no such path of a program', guest('qemu: ‸./qemu'), ['qemu: no program /lab/qemu']],
  ['an empty path', guest('kernel: ‸""'), ['kernel: expected a path that is not empty, found ""']],
  ['a NUL', guest('machine: ‸"a\\0b"'), ['machine: expected text without NUL characters, found "a\\u0000b"']],
  [
    'a shared console',
    LAN + 'guests:\n  a: {console: x}\n  b: {console: ‸./x}\n',
    ['console: /lab/x is that of guest "a" too, on line 3'],
  ],
  [
    '-incoming',
    guest('args: [-no-reboot, ‸-incoming, defer]'),
    ['args[1]: argument -incoming is not allowed: Stillwire loads guests itself, at a restart'],
  ],
  [
    '--S',
    guest('args: [‸--S]'),
    ['args[0]: argument -S is not allowed: Stillwire starts and stops guests itself'],
  ],
  [
    '-daemonize',
    guest('args: [‸-daemonize]'),
    [
      'args[0]: argument -daemonize is not allowed: Stillwire must stay the parent of the process to see it end',
    ],
  ],
  [
    'two arguments in one',
    guest('args: [‸-device virtio-rng-pci]'),
    ['args[0]: argument "-device …" is one word to QEMU; make the option and its value two items'],
  ],
  [
    'an argument of a wrong type',
    guest('args: [-x, ‸[1]]'),
    ['args[1]: expected text or a number, found a list'],
  ],
  ['checkpoints', LAN + 'checkpoints: ‸[a]\n', ['checkpoints: expected a path, found a list']],
  ['an alias to nothing', LAN + 'guests: {a: ‸*x}\n', ['alias *x: no such anchor before it']],
  ['an alias in itself', LAN + 'guests: &g {a: ‸*g}\n', ['alias *g: it stands inside of what it stands for']],
  [
    'nested aliases',
    'a: &a [x]\nb: &b [*a, *a]\nc: [‸*b, ‸*b]\n',
    [
      'alias *b: what it stands for has an alias in it; aliases do not nest',
      'alias *b: what it stands for has an alias in it; aliases do not nest',
    ],
  ],
  [
    'a fault told through an alias',
    LAN + 'guests:\n  a: &g {cpus: ‸0}\n  b: *g\n',
    ['cpus: expected a whole number of processors, 1 to 255, found 0'],
  ],
  [
    'Windows line ends',
    'segments: {lan: {}}\r\nguests:\r\n  a: {cpus: ‸0}\r\n',
    ['cpus: expected a whole number of processors, 1 to 255, found 0'],
  ],
  [
    'an old YAML',
    '%YAML 1.1\n---\nsegments: {lan: {reservedMulticast: ‸off}}\n',
    ['reservedMulticast: expected forward or drop, found "off"'],
  ],
  [
    'a long port name',
    `${LAN}ports:\n  ‸${'p'.repeat(65)}: {segment: lan, kind: external, device: x}\n`,
    [`port name "${'p'.repeat(57)}...": expected ${NAME_RULE}`],
  ],
  [
    'a long network name',
    `network: ‸${'n'.repeat(33)}\n${LAN}`,
    [`network: expected a name of at most 32 characters, found "${'n'.repeat(33)}"`],
  ],
  [
    'a long socket path',
    guest(`console: ‸${long}`),
    [`console: a unix socket's path has at most 107 bytes, this one 125: /lab/${long}`],
  ],
  [
    'too many aliases',
    `a: &a x\nb:\n${'- *a\n'.repeat(100)}- ‸*a\n${'- *a\n'.repeat(50)}`,
    ['alias *a: more than 100 aliases'],
  ],
  ['a byte order mark', `\uFEFFnetwork: ‸[x]\n${LAN}`, ['network: expected a name, found a list']],
  [
    'deep lists',
    `segments: ${'['.repeat(38)}‸${'['.repeat(100_000)}`,
    ['nested too deeply for a network file'],
  ],
  [
    'a line feed inside of what is not YAML',
    '*a\r\n‸segments>-\nsegments‸:',
    ['Unexpected scalar at node end', 'Unexpected map-value-ind token in YAML stream: ":"'],
  ],
];

describe('a fault is told with its place', () => {
  test.each(FAULTS)('%s', (_what, text, messages) => expectFaults(text, messages));

  test('a file too large', () => {
    expectFaults(`‸# ${'x'.repeat(1 << 18)}`, [
      'the file has 262146 bytes; a network file has at most 262144',
    ]);
  });

  test('more ports than a network can have', () => {
    const nics = Array.from({ length: 1024 }, () => '{segment: lan}').join(', ');
    const text = `${LAN}guests:\n  a: {nics: [${nics}]}\nports:\n  p: {segment: lan, kind: external, device: d}\n`;
    expect(() => parse(text.slice(0, text.indexOf('ports:')))).not.toThrow();
    expect(faultsOf(failure(text)).map(({ message }) => message)).toEqual([
      'a network has at most 1024 ports, this one 1025',
    ]);
  });

  test('a file of faults alone', () => {
    const faults = faultsOf(failure(Array.from({ length: 5000 }, (_, i) => `k${i}: 1\n`).join('')));
    expect(faults.length).toBe(1000);
  });

  test('more segments than can be listed', () => {
    const names = Array.from({ length: 5000 }, (_, i) => `s${i}`);
    const segments = `segments: {${names.map((name) => `${name}: {}`).join(', ')}}\n`;
    expectFaults(`${segments}guests: {a: {nics: [segment: ‸elsewhere]}}\n`, [
      `no segment "elsewhere"; there are: ${names.slice(0, 20).join(', ')}, …`,
    ]);
  });

  test("a name that the file's cannot be", () => {
    expect(faultsOf(failure(LAN, '/lab/my lab.yaml'))).toEqual([
      {
        line: 1,
        column: 1,
        message: 'the file gives the network the name "my lab", which it cannot have; add the key "network"',
      },
    ]);
  });

  test('QEMU missing that nobody asked for', () => {
    const none: Surroundings = { isFile: () => false, findProgram: () => undefined };
    expect(() => parseNetworkFile(guest(''), 'lab.yaml', { environment: none })).toThrow(
      'lab.yaml:2:13: qemu: no program "qemu-system-x86_64" on PATH',
    );
  });
});

test('all faults come together, in the order of the file, one line each', () => {
  const text = `network: a b
segments:
  lan: { ageing: -1 }
guests:
  a:
    kernal: ./x
    qemu: nope
    memory: 1
    nics:
      - { segment: lam, mac: 03:00:00:00:00:00, color: red }
ports:
  a: { segment: lan, kind: external, device: "" }
`;
  const error = failure(text, 'lab.yaml');
  const faults = faultsOf(error);
  expect(error.message.split('\n')).toEqual(
    faults.map((f) => `lab.yaml:${f.line}:${f.column}: ${f.message}`),
  );
  expect(faults.map(({ line, column }) => [line, column])).toEqual([
    [1, 10],
    [3, 18],
    [6, 5],
    [7, 11],
    [8, 13],
    [10, 20],
    [10, 30],
    [10, 49],
    [12, 3],
    [12, 46],
  ]);
});

test('nothing in a fault moves the cursor of a terminal', () => {
  const error = failure(`${LAN}"a\\e[2Jb\\nc\\u009b\\u202e": 1\n*\u001b[2J : 1\n`, 'l\u001bab.yaml');
  // eslint-disable-next-line no-control-regex -- they must not be there
  expect(error.message).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
});
