/**
 * Networks of test guests that send traffic to one another: for demo, soak and guest tests. The guests boot the image
 * of guest-image/, whose README tells the `sw.*` parameters and the traffic generator's options.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseNetworkFile, type NetworkDefinition, type NicTransport } from '../definition/index.js';
import { StillwireError } from '../errors/index.js';

/** Room for the guests' consoles: sockets and what was said. Paths in it go into the checkpoint. */
export const consoleSocket = (directory: string, guest: string): string => join(directory, `${guest}.sock`);
/** What a guest under DMTCP has in place of the socket: `NAME.pipe.in`, a fifo, and `NAME.pipe.out`, its log. */
export const consolePipe = (directory: string, guest: string): string => join(directory, `${guest}.pipe`);
export const consoleLog = (directory: string, guest: string): string => join(directory, `${guest}.log`);

export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
}

/**
 * The guest image that scripts/setup.sh built: in `.cache/guest` of the checkout, or $STILLWIRE_CACHE/guest.
 * @throws StillwireError MISSING_PROGRAM when it is not there
 */
export function guestImage(environment: Readonly<NodeJS.ProcessEnv> = process.env): GuestImage {
  const cache = environment['STILLWIRE_CACHE'] ?? fileURLToPath(new URL('../../.cache', import.meta.url));
  const directory = join(resolve(cache), 'guest');
  const image = { kernel: join(directory, 'vmlinuz'), initrd: join(directory, 'initramfs.gz') };
  const missing = Object.values(image).find((path) => !existsSync(path));
  if (missing === undefined) return image;
  const words = `the guest image is not built: ${missing} is missing; run scripts/setup.sh in a checkout`;
  throw new StillwireError('MISSING_PROGRAM', words, { path: missing });
}

export interface Load {
  /** Datagrams a second and flow; a flow is an ordered pair of guests and a family. */
  readonly udpRate: number;
  /** Bytes a second and stream, `k` and `M` as the generator takes them. */
  readonly tcpRate: string;
}

/** A guest as a test wants it; everything else has the image's usual form. */
export interface TestGuest {
  /** Segments of its NICs eth0, eth1, … */
  readonly segments: readonly string[];
  /** `sw.*` parameters. */
  readonly parameters: readonly string[];
  /** Names and addresses of the guests it exchanges traffic with, `IPv4/IPv6`; absent: it runs no generator. */
  readonly peers?: Readonly<Record<string, string>>;
  /** Further arguments of the generator: more lanes of load. */
  readonly lanes?: readonly string[];
  /** MTU of NICs whose segment does not have the usual one. */
  readonly mtu?: Readonly<Record<string, number>>;
  /** Further QEMU arguments. */
  readonly args?: readonly string[];
  /** Of all its NICs; absent: TAPs. */
  readonly transport?: NicTransport;
  /** It runs under DMTCP; keys of the network file. */
  readonly dmtcp?: Readonly<Record<string, unknown>>;
}

/**
 * The definition of a network of such guests, with consoles in `directory`.
 * @throws StillwireError MISSING_PROGRAM, FILE_INVALID
 */
export function testNetwork(
  network: string,
  directory: string,
  guests: Readonly<Record<string, TestGuest>>,
  load: Load = { udpRate: 500, tcpRate: '250k' },
): NetworkDefinition {
  const segments = new Set(Object.values(guests).flatMap((guest) => guest.segments));
  const entries = Object.entries(guests).map(([name, guest]) => [
    name,
    {
      append: [
        'console=ttyS0 quiet',
        `sw.name=${name}`,
        ...guest.parameters,
        ...traffic(name, guest, load),
      ].join(' '),
      ...consoleOf(name, guest, directory),
      nics: guest.segments.map((segment) => ({
        segment,
        mtu: guest.mtu?.[segment] ?? 1500,
        transport: guest.transport ?? 'tap',
      })),
    },
  ]);
  const file = {
    network,
    segments: Object.fromEntries([...segments].map((segment) => [segment, {}])) as object,
    defaults: { ...guestImage(), memory: 128 },
    guests: Object.fromEntries(entries) as object,
  };
  return parseNetworkFile(JSON.stringify(file), join(directory, network)).definition;
}

/** A stream socket to a process outside would have DMTCP wait for ever: a fifo does not. */
function consoleOf(name: string, { args = [], dmtcp }: TestGuest, directory: string): object {
  if (dmtcp === undefined) {
    return { console: consoleSocket(directory, name), consoleLog: consoleLog(directory, name), args };
  }
  const pipe = consolePipe(directory, name);
  const own = ['-chardev', `pipe,id=console,path=${pipe}`, '-serial', 'chardev:console'];
  return { dmtcp, args: [...own, ...args] };
}

/** Makes the files of {@link consolePipe} for those guests that have them. */
export function makeConsolePipes(directory: string, guests: Readonly<Record<string, TestGuest>>): void {
  for (const [name, { dmtcp }] of Object.entries(guests)) {
    if (dmtcp === undefined) continue;
    const pipe = consolePipe(directory, name);
    execFileSync('mkfifo', [`${pipe}.in`]);
    writeFileSync(consoleLog(directory, name), '');
    symlinkSync(consoleLog(directory, name), `${pipe}.out`);
  }
}

function traffic(name: string, { peers, lanes = [] }: TestGuest, { udpRate, tcpRate }: Load): string[] {
  if (peers === undefined) return [];
  const list = Object.entries(peers).map(([peer, addresses]) => `${peer}=${addresses}`);
  const options = [
    '--me',
    name,
    '--peers',
    list.join(','),
    '--udp-rate',
    String(udpRate),
    '--tcp-rate',
    tcpRate,
    ...lanes,
  ];
  return [`sw.run=traffic+${options.join('+')}`];
}

/** `count` guests g1, g2, … on one segment, each sending to every other. At most 9. */
export function flatGuests(count: number): Record<string, TestGuest> {
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  const peersOf = (me: number): Record<string, string> =>
    Object.fromEntries(numbers.filter((n) => n !== me).map((n) => [`g${n}`, `10.1.0.${n}/fd01::${n}`]));
  return Object.fromEntries(
    numbers.map((n) => [
      `g${n}`,
      {
        segments: ['lan'],
        parameters: [`sw.if=eth0,10.1.0.${n}/24,fd01::${n}/64`],
        peers: peersOf(n),
      },
    ]),
  );
}

/** a and b on segments of their own, r between them, which routes and takes part in the traffic. */
export const ROUTED_GUESTS: Readonly<Record<string, TestGuest>> = {
  a: {
    segments: ['left'],
    parameters: [
      'sw.if=eth0,10.1.0.1/24,fd01::1/64',
      'sw.route=10.2.0.0/24,10.1.0.254 sw.route=fd02::/64,fd01::fe',
    ],
    peers: { r: '10.1.0.254/fd01::fe', b: '10.2.0.2/fd02::2' },
  },
  r: {
    segments: ['left', 'right'],
    parameters: ['sw.if=eth0,10.1.0.254/24,fd01::fe/64 sw.if=eth1,10.2.0.254/24,fd02::fe/64', 'sw.forward=1'],
    peers: { a: '10.1.0.1/fd01::1', b: '10.2.0.2/fd02::2' },
  },
  b: {
    segments: ['right'],
    parameters: [
      'sw.if=eth0,10.2.0.2/24,fd02::2/64',
      'sw.route=10.1.0.0/24,10.2.0.254 sw.route=fd01::/64,fd02::fe',
    ],
    peers: { a: '10.1.0.1/fd01::1', r: '10.2.0.254/fd02::fe' },
  },
};
