/** The key `dmtcp` of a guest: what it becomes, and what a guest that has it cannot have. */
import { expect, test } from 'vitest';
import { describeDefinition, isDmtcp } from '../../src/definition/index.js';
import { definitionSchema } from '../../src/image/manifest-schema.js';
import { failure, faultsOf, LAN, machinesOf, parse } from './network-file.fixture.js';

const guest = (keys: string): string => `${LAN}guests: {a: {${keys}}}\n`;
const told = (keys: string): string[] => faultsOf(failure(guest(keys))).map(({ message }) => message);

test('an empty one has everything by default', () => {
  const { definition } = parse(guest('dmtcp: {}'));
  expect(machinesOf(definition)['a']!.dmtcp).toEqual({
    plugins: [],
    gzip: false,
    forked: false,
    unreachable: 'go',
  });
  expect(isDmtcp(definition.guests['a']!)).toBe(true);
  expect(isDmtcp(parse(guest('')).definition.guests['a']!)).toBe(false);
});

test('all keys; a checkpoint keeps them, and --dry-run shows them', () => {
  const all =
    'coordinator: "head:7779", netns: host1, kvmPlugin: vmlinuz, plugins: [/lab/initrd.gz], gzip: true, forked: true';
  const file = parse(guest(`dmtcp: {${all}, unreachable: wait}`));
  expect(machinesOf(file.definition)['a']!.dmtcp).toEqual({
    coordinator: 'head:7779',
    netns: 'host1',
    plugins: ['/lab/vmlinuz', '/lab/initrd.gz'],
    gzip: true,
    forked: true,
    unreachable: 'wait',
  });
  expect(definitionSchema.parse(JSON.parse(JSON.stringify(file.definition)))).toEqual(file.definition);
  expect(describeDefinition(file)).toContain(
    'dmtcp    coordinator head:7779, in namespace host1, plugin /lab/vmlinuz, plugin /lab/initrd.gz, gzip, forked, waits for the daemon',
  );
});

test('it may come from the defaults', () => {
  const { definition } = parse(`${LAN}defaults: {dmtcp: {gzip: true}}\nguests: {a: {}, b: {dmtcp: {}}}\n`);
  expect(machinesOf(definition)['a']!.dmtcp?.gzip).toBe(true);
  expect(machinesOf(definition)['b']!.dmtcp?.gzip).toBe(false);
});

const TAP = 'a TAP that is not one of the NICs of this file does not survive a restart';
const NO_STREAM = 'a stream to a process outside makes DMTCP wait for ever';
const STREAM = 'a stream socket to a process outside makes DMTCP wait for ever';

test.each([
  ['console: c.sock', `console: not possible under DMTCP: ${STREAM}; use consoleLog`],
  ['args: [-qmp, "unix:x,server=on"]', `args: -qmp unix:x,server=on is not possible under DMTCP: ${STREAM}`],
  ['args: [-serial, "tcp::99"]', `args: -serial tcp::99 is not possible under DMTCP: ${STREAM}`],
  ['args: [-chardev, "socket,id=x"]', `args: -chardev socket,id=x is not possible under DMTCP: ${STREAM}`],
  [
    'args: [-chardev, "id=x,backend=socket"]',
    `args: -chardev id=x,backend=socket is not possible under DMTCP: ${STREAM}`,
  ],
  ['args: [-vnc, ":0"]', `args: -vnc :0 is not possible under DMTCP: ${STREAM}`],
  [
    'args: [-netdev, "stream,id=x"]',
    'args: -netdev stream,id=x is not possible under DMTCP: a stream to a process outside makes DMTCP wait for ever',
  ],
  [
    'args: [-m, 64, --netdev, "tap,id=x"]',
    'args: -netdev tap,id=x is not possible under DMTCP: a TAP that is not one of the NICs of this file does not survive a restart',
  ],
])('%s: refused, with the reason', (keys, message) => {
  expect(told(`dmtcp: {}, ${keys}`)).toEqual([message]);
  expect(() => parse(guest(keys))).not.toThrow();
});

test.each([
  ['-netdev', '{"type":"tap","id":"x"}', TAP],
  ['-netdev', '{ "id": "x", "type" : "bridge" }', TAP],
  ['-netdev', '{"type":"stream","id":"x","addr":{"type":"unix","path":"p"}}', NO_STREAM],
  ['-netdev', '{"id":"x","addr":{"type":"unix","path":"p"},"type":"stream"}', NO_STREAM],
  ['-netdev', 'id=x,type=tap', TAP],
  ['-nic', 'tap,ifname=t0', TAP],
  ['-net', 'socket,connect=:9', NO_STREAM],
  ['-serial', 'mon:unix:p', STREAM],
  ['-serial', 'mon:tcp::99', STREAM],
  ['-serial', 'telnet::99', STREAM],
  ['--serial', 'mon:telnet::99', STREAM],
  ['-serial', 'websocket::99', STREAM],
  ['-parallel', 'unix:p', STREAM],
  ['-monitor', 'unix:p,server=on', STREAM],
  ['-monitor', 'tcp::99', STREAM],
  ['-debugcon', 'tcp::99', STREAM],
  ['-debugcon', 'unix:p', STREAM],
  ['-gdb', 'tcp::99', STREAM],
  ['-display', 'vnc=:0', STREAM],
  ['-display', 'vnc=unix:p', STREAM],
  ['-display', '{"type":"dbus"}', STREAM],
  ['-display', 'spice-app', STREAM],
  ['-readconfig', 'x.cfg', 'what is in that file is not known here; give its options as arguments'],
])('%s %s: refused, with the reason', (option, value, why) => {
  const dashless = option.replace(/^-+/, '-');
  const keys = `dmtcp: {}, args: ${JSON.stringify([option, value])}`;
  expect(told(keys)).toEqual([`args: ${dashless} ${value} is not possible under DMTCP: ${why}`]);
});

test.each([
  'args: [-netdev, "user,id=x"]',
  'args: [-netdev, \'{"type":"user","id":"x"}\']',
  'args: [-netdev, \'{"id":"tap","type":"user"}\']',
  'args: [-serial, "mon:stdio"]',
  'args: [-serial, mon:pty]',
  'args: [-monitor, none]',
  'args: [-debugcon, "file:x"]',
  'args: [-display, none]',
  'args: [-chardev, "pipe,id=c,path=p"]',
  'args: [-serial, "file:x"]',
  'consoleLog: l',
  'nics: [{segment: lan, transport: dgram}]',
])('%s is possible', (keys) => {
  expect(() => parse(guest(`dmtcp: {}, ${keys}`))).not.toThrow();
});

test.each([
  [
    'coordinator: nowhere',
    'coordinator: expected the address of a DMTCP coordinator, such as 127.0.0.1:7779, found "nowhere"',
  ],
  ['plugins: [/no/such.so]', 'dmtcp: no readable file /no/such.so'],
  ['netns: host1', 'dmtcp: in a namespace of its own a guest needs a coordinator that it reaches from there'],
  [
    'coordinator: "h:1", netns: "a b"',
    'netns: expected the name of a network namespace or an absolute path, found "a b"',
  ],
  ['gzip: 9', 'gzip: expected true or false, found 9'],
  ['unreachable: die', 'unreachable: expected go or wait, found "die"'],
  ['kvmPlugins: x', 'unknown key "kvmPlugins"; did you mean "kvmPlugin"?'],
])('dmtcp: {%s} is told', (keys, message) => {
  expect(told(`dmtcp: {${keys}}`)).toEqual([message]);
});

test('two coordinators in one network are told', () => {
  const text = `${LAN}guests: {a: {dmtcp: {}}, b: {dmtcp: {coordinator: "h:1"}}}\n`;
  expect(faultsOf(failure(text)).map(({ message }) => message)).toEqual([
    'all guests under DMTCP have one coordinator; that of guest "a" is another',
  ]);
});
