/**
 * The keys of a network file and the values they take.
 *
 * Every schema's message completes the sentence "KEY: expected …"; a message of a refinement (zod's code `custom`)
 * is a sentence of its own. {@link Reader} puts them together with the place. Defaults are not filled in here but
 * where the network is resolved, since `defaults:` of the file comes before them.
 */
import { z } from 'zod';
import { NIC_TRANSPORTS } from './definition.js';
import { deviceNameFault, MAX_NETWORK_NAME, NAME, NAME_RULE } from './names.js';

const within = (least: number, most: number, words: string): z.ZodNumber =>
  z.number(words).int(words).min(least, words).max(most, words);

// Text reaches QEMU's arguments and system calls, where a NUL ends it.
// eslint-disable-next-line no-control-regex -- see above
const NO_NUL = /^[^\u0000]*$/;
const text = z.string('text').regex(NO_NUL, 'text without NUL characters');
const someText = text.min(1, 'text that is not empty');
const path = z
  .string('a path')
  .min(1, 'a path that is not empty')
  .regex(NO_NUL, 'a path without NUL characters');

const name = z.string('a name').regex(NAME, `a name of ${NAME_RULE}`);

/** The network's name, given or taken from the file's. */
export const networkName = name.max(MAX_NETWORK_NAME, `a name of at most ${MAX_NETWORK_NAME} characters`);

const device = z.string('the name of a network device').superRefine((value, issue) => {
  const fault = deviceNameFault(value);
  if (fault !== undefined) issue.addIssue(`device name ${JSON.stringify(value)} ${fault}`);
});

/** RFC 791: every host takes 576 bytes; 9216 is what switches call jumbo. */
const mtu = within(576, 9216, 'a whole number of bytes, 576 to 9216');
/** IEEE 802.1Q: 0 and 4095 are reserved. */
const vlan = within(1, 4094, 'a VLAN, 1 to 4094');

const MAC_WORDS = 'a MAC address such as 52:54:00:12:34:56';
const mac = z
  .string(MAC_WORDS)
  .regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i, MAC_WORDS)
  .transform((value) => value.toLowerCase())
  .superRefine((value, issue) => {
    const group = (Number.parseInt(value.slice(0, 2), 16) & 1) === 1;
    if (group)
      issue.addIssue(`${value} is a multicast address (its first octet is odd); no station can have it`);
    if (value === '00:00:00:00:00:00') issue.addIssue(`${value} is no station's address`);
  });

const CIDR = 'an address with its prefix length, such as 10.0.0.1/24 or fd00::1/64';
const cidr = z.union([z.cidrv4(), z.cidrv6()], CIDR);
const addresses = z.array(cidr, 'a list of addresses such as [10.0.0.1/24]');

const AGEING = 'whole seconds, 1 to 1000000, or text such as "300s" or "5m"';
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };
const ageing = quantity(/^(\d{1,9})(s|m|h)$/, SECONDS, 1, 1_000_000, AGEING);

const MEMORY = 'MiB, 16 to 1048576, or text such as "128M" or "1G"';
const MEBIBYTES: Readonly<Record<string, number>> = { m: 1, g: 1024 };
const memory = quantity(/^(\d{1,9})(m|g)(?:ib?)?$/i, MEBIBYTES, 16, 1 << 20, MEMORY);

/** What Stillwire gives QEMU itself, and why the user's cannot stand beside it. */
const REFUSED: Readonly<Record<string, string>> = {
  incoming: 'Stillwire loads guests itself, at a restart',
  S: 'Stillwire starts and stops guests itself',
  preconfig: 'QEMU would wait for a command that Stillwire does not send',
  daemonize: 'Stillwire must stay the parent of the process to see it end',
};

const argument = z.union([text, z.number()], 'text or a number').superRefine((value, issue) => {
  const [, option, rest] = /^--?([A-Za-z][\w-]*)(\s|$)/.exec(String(value)) ?? [];
  if (option === undefined) return;
  const why = Object.hasOwn(REFUSED, option) ? REFUSED[option] : undefined;
  if (why !== undefined) issue.addIssue(`argument -${option} is not allowed: ${why}`);
  else if (rest !== '')
    issue.addIssue(`argument "-${option} …" is one word to QEMU; make the option and its value two items`);
});

const STREAM_SOCKET = 'a stream socket to a process outside makes DMTCP wait for ever';

/**
 * What a guest under DMTCP cannot have: a stream socket to a process outside of it, which DMTCP waits for for ever, or a
 * TAP that our plugin does not know, which comes back dead and without a word. The option, then what its value begins with.
 */
const REFUSED_UNDER_DMTCP: readonly (readonly [RegExp, RegExp, string])[] = [
  [
    /^(netdev|nic|net)$/,
    /^(stream|socket|vhost-user|vde|passt|l2tpv3)\b/,
    'a stream to a process outside makes DMTCP wait for ever',
  ],
  [
    /^(netdev|nic|net)$/,
    /^(tap|bridge)\b/,
    'a TAP that is not one of the NICs of this file does not survive a restart',
  ],
  [/^(chardev)$/, /^socket\b/, STREAM_SOCKET],
  [
    /^(qmp|qmp-pretty|monitor|serial|parallel|debugcon)$/,
    /^(mon:)?(unix|tcp|telnet|tn3270|websocket|wss?):/,
    STREAM_SOCKET,
  ],
  [/^(vnc|spice|gdb|s)$/, /^/, STREAM_SOCKET],
  [/^display$/, /^(vnc|spice-app|dbus)\b/, STREAM_SOCKET],
  [
    /^(readconfig|writeconfig)$/,
    /^/,
    'what is in that file is not known here; give its options as arguments',
  ],
];

const jsonType = z.looseObject({ type: z.string() });

/** What kind of thing a value asks for: its first word, or `type=`, which may stand anywhere; or `"type"`, where it is JSON. */
function kindOf(value: string): string {
  try {
    return jsonType.parse(JSON.parse(value)).type;
  } catch {
    return /(?:^|,)(?:type|backend)=([^,]*)/.exec(value)?.[1] ?? value;
  }
}

/** Why DMTCP cannot have these arguments, with the index of the one; undefined when it can. */
export function refusedUnderDmtcp(
  args: readonly string[],
): { readonly index: number; readonly why: string } | undefined {
  for (const [index, argument] of args.entries()) {
    const option = /^--?([a-z][\w-]*)$/.exec(argument)?.[1];
    if (option === undefined) continue;
    const value = args[index + 1] ?? '';
    const type = kindOf(value);
    const rule = REFUSED_UNDER_DMTCP.find(([options, begins]) => options.test(option) && begins.test(type));
    if (rule === undefined) continue;
    return { index, why: `-${option} ${value} is not possible under DMTCP: ${rule[2]}` };
  }
  return undefined;
}

const transport = z.enum(NIC_TRANSPORTS, 'tap or dgram');

export const segmentShape = z.object({
  reservedMulticast: z.enum(['forward', 'drop'], 'forward or drop').exactOptional(),
  ageing: ageing.exactOptional(),
});

export const nicShape = z.object({
  segment: z.string('the name of a segment'),
  name: name.exactOptional(),
  mac: mac.exactOptional(),
  mtu: mtu.exactOptional(),
  vlan: vlan.exactOptional(),
  // It is followed by `,netdev=…` on QEMU's command line.
  model: z
    .string('a QEMU device model')
    .regex(/^[A-Za-z0-9][\w.-]*$/, 'a QEMU device model such as virtio-net-pci, without properties')
    .exactOptional(),
  transport: transport.exactOptional(),
});

/**
 * A guest's keys. A `-netdev`, `-nic` or `-qmp` of the user's own in `args` is allowed beside ours, but a network
 * made so is outside the cut: its frames are neither held nor saved.
 */
export const guestShape = z.object({
  qemu: someText.exactOptional(),
  // tcg unless said otherwise: a machine may accept KVM and then not boot a guest on it, so it is never guessed.
  accel: z.enum(['tcg', 'kvm'], 'tcg or kvm').exactOptional(),
  machine: someText.exactOptional(),
  cpu: someText.exactOptional(),
  cpus: within(1, 255, 'a whole number of processors, 1 to 255').exactOptional(),
  memory: memory.exactOptional(),
  kernel: path.exactOptional(),
  initrd: path.exactOptional(),
  // A long kernel command line may be folded in YAML, which ends it with a line feed.
  append: text.transform((value) => value.replace(/\s*\n\s*/g, ' ').trim()).exactOptional(),
  console: path.exactOptional(),
  consoleLog: path.exactOptional(),
  args: z.array(argument, 'a list of QEMU arguments').exactOptional(),
  disks: z.literal('unmanaged', 'unmanaged').exactOptional(),
  nics: z.array(z.unknown(), 'a list of NICs').nullable().exactOptional(),
  dmtcp: z.unknown().exactOptional(),
});

const ADDRESS = 'the address of a DMTCP coordinator, such as 127.0.0.1:7779';

const NETNS = 'the name of a network namespace or an absolute path';
const netns = z.string(NETNS).regex(/^(\/\S*|[A-Za-z0-9_][\w.-]*)$/, NETNS);

export const dmtcpShape = z.object({
  coordinator: z
    .string(ADDRESS)
    .regex(/^[A-Za-z0-9._-]+:\d{1,5}$/, ADDRESS)
    .exactOptional(),
  netns: netns.exactOptional(),
  kvmPlugin: path.exactOptional(),
  plugins: z.array(path, 'a list of paths of DMTCP plugins').exactOptional(),
  gzip: z.boolean('true or false').exactOptional(),
  forked: z.boolean('true or false').exactOptional(),
  unreachable: z.enum(['go', 'wait'], 'go or wait').exactOptional(),
});

/** The keys of a guest that somebody else has started; none of them can come from `defaults:`. */
export const adoptedShape = z.object({
  adopt: z.unknown(),
  disks: z.literal('unmanaged', 'unmanaged').exactOptional(),
  nics: z.array(z.unknown(), 'a list of NICs').nullable().exactOptional(),
});

export const adoptShape = z.object({
  qmp: path,
  restart: z.array(someText, 'a program and its arguments').min(1, 'a program').exactOptional(),
});

export const adoptedNicShape = z.object({
  segment: z.string('the name of a segment'),
  device,
  name: name.exactOptional(),
  mtu: mtu.exactOptional(),
  vlan: vlan.exactOptional(),
});

/** Keys that `defaults:` may give: all but the files that two guests cannot share. */
export const defaultsShape = guestShape.omit({ console: true, consoleLog: true });

const port = {
  segment: z.string('the name of a segment'),
  device,
  addresses: addresses.exactOptional(),
  mtu: mtu.exactOptional(),
  vlan: vlan.exactOptional(),
};

export const externalPortShape = z.object({ kind: z.literal('external'), ...port });

export const devicePortShape = z.object({
  kind: z.literal('device'),
  ...port,
  netns: netns.exactOptional(),
  mac: mac.exactOptional(),
});

export const dgramPortShape = z.object({
  kind: z.literal('dgram'),
  segment: port.segment,
  mtu: port.mtu,
  vlan: port.vlan,
  path,
  peer: path,
});

/** For a port whose kind is not known: any key of any kind. */
export const anyPortShape = devicePortShape.extend({
  kind: z.enum(['external', 'device', 'dgram'], 'external, device or dgram'),
  device: device.exactOptional(),
  path: path.exactOptional(),
  peer: path.exactOptional(),
});

export const fileShape = z.object({
  network: networkName.exactOptional(),
  segments: z.custom((value) => value !== undefined, 'at least one segment, such as "lan: {}"'),
  guests: z.unknown().exactOptional(),
  ports: z.unknown().exactOptional(),
  checkpoints: path.exactOptional(),
  transport: transport.exactOptional(),
  defaults: z.unknown().exactOptional(),
});

/** A number, or digits with a unit. */
function quantity(
  written: RegExp,
  units: Readonly<Record<string, number>>,
  least: number,
  most: number,
  words: string,
): z.ZodType<number, number | string> {
  const scaled = z
    .string()
    .regex(written)
    .transform((value) => {
      const [, digits = '', unit = ''] = written.exec(value) ?? [];
      return Number(digits) * (units[unit.toLowerCase()] ?? NaN);
    });
  return z.union([z.number(), scaled], words).pipe(within(least, most, words));
}
