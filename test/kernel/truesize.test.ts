/** That no frame written to a TAP takes more of a packet socket's receive buffer than the bound says. */
import { writeSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BURST, FrameList, FrameMemory } from '../../src/port/batch.js';
import { Backlog, truesizeBound } from '../../src/port/backlog.js';
import { PacketReceiver } from '../../src/port/packet-receiver.js';
import { native } from '../../src/sys/libc.js';
import {
  closeFd,
  createTap,
  enterNamespace,
  linkIndex,
  namespacePath,
  O_RDONLY,
  openFd,
  openPacketSocket,
  setLinkMtu,
  setLinkUp,
  silenceNamespace,
  takePacketDrops,
} from '../../src/sys/index.js';
import { frame } from '../pure/frames.js';
import { Lab } from './lab.js';

const SOL_SOCKET = 1;
const SO_MEMINFO = 55;
const getsockopt = native<[number, number, number, Uint8Array, Uint8Array]>(
  'int getsockopt(int fd, int level, int name, void *value, void *length)',
);
const BUFFER_BYTES = 1 << 20;
const lab = new Lab('truesize');
const memory = new FrameMemory();
const receiver = new PacketReceiver(memory);
let home: number;
let tun: number;
let socket: number;

beforeAll(() => {
  home = openFd('/proc/thread-self/ns/net', O_RDONLY);
  enterNamespace(namespacePath(lab.addNamespace('home')));
  silenceNamespace();
  tun = createTap('tap0');
  setLinkMtu('tap0', 65_521);
  setLinkUp('tap0', { arp: false });
  socket = openPacketSocket(linkIndex('tap0'), BUFFER_BYTES);
});

afterAll(() => {
  closeFd(socket);
  closeFd(tun);
  enterNamespace(`/proc/self/fd/${home}`);
  closeFd(home);
  lab.close();
});

/** sk_rmem_alloc and sk_rcvbuf (SK_MEMINFO_RMEM_ALLOC, SK_MEMINFO_RCVBUF). */
function buffer(): { taken: number; room: number } {
  const value = Buffer.alloc(64);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(value.length);
  expect(getsockopt(socket, SOL_SOCKET, SO_MEMINFO, value, length)).toBe(0);
  return { taken: value.readUInt32LE(0), room: value.readUInt32LE(4) };
}

const drain = (): void => {
  while (receiver.receive(socket, new FrameList()) > 0);
};

/** A virtio-net header: none, an unfinished checksum, or TCP segmentation with that much of a linear header. */
function vnet(kind: 'plain' | 'checksum' | 'segments', length: number): Buffer {
  const header = Buffer.alloc(10);
  if (kind === 'plain' || length < 100) return header;
  header[0] = 1;
  header.writeUInt16LE(34, 6);
  header.writeUInt16LE(16, 8);
  if (kind === 'segments') {
    header[1] = 1;
    header.writeUInt16LE(54, 2);
    header.writeUInt16LE(1448, 4);
  }
  return header;
}

const LENGTHS = [
  60, 64, 128, 200, 256, 511, 700, 1000, 1514, 1800, 2046, 2047, 2048, 2500, 3000, 3500, 3700, 3800,
];
const LONG = [
  3900, 4000, 4095, 4096, 4200, 5000, 8000, 8192, 9014, 12_000, 16_384, 20_000, 33_000, 50_000, 65_535,
];

test.each(['plain', 'checksum', 'segments'] as const)('one frame of every length, %s', (kind) => {
  for (const length of [...LENGTHS, ...LONG]) {
    drain();
    writeSync(tun, Buffer.concat([vnet(kind, length), frame(1, { length, type: 0x0800 })]));
    const { taken } = buffer();
    expect(taken, `${length} bytes`).toBeGreaterThan(length);
    expect(taken, `${length} bytes`).toBeLessThanOrEqual(truesizeBound(length));
  }
});

test.each([60, 1514, 9014, 65_535])(
  'a queue of frames of %i bytes that overran is known to have',
  (length) => {
    drain();
    takePacketDrops(socket);
    const backlog = new Backlog(2 * BUFFER_BYTES, truesizeBound);
    expect(buffer().room).toBe(2 * BUFFER_BYTES); // what the kernel grants
    const bytes = Buffer.concat([Buffer.alloc(10), frame(1, { length })]);
    const list = new FrameList();
    let drops = 0;
    for (let written = 0; drops === 0; written++) {
      writeSync(tun, bytes);
      if (written % 50 === 0) drops = takePacketDrops(socket);
    }
    while (receiver.receive(socket, list) > 0) backlog.note(list);
    backlog.note(list);
    expect(list.count).toBeLessThan(BURST);
    expect(backlog.mayHaveOverrun).toBe(true);
  },
);
