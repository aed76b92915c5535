/** The datagram port on real socketpairs: they need neither root nor a namespace. */
import { mkdtempSync, rmSync, existsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StillwireError } from '../../src/errors/index.js';
import { MAX_FRAME_BYTES } from '../../src/frame/types.js';
import { BURST, FRAME_OFFSET, FrameList, FrameMemory } from '../../src/port/batch.js';
import { DgramPort, WINDOW, type DgramPortParts } from '../../src/port/dgram-port.js';
import {
  bindDatagram,
  closeFd,
  datagramCost,
  datagramPair,
  datagramQueueLength,
  MessageVector,
  raiseSendBuffer,
  unixAddress,
  unsentBytes,
} from '../../src/sys/index.js';
import { portCompliance } from '../port-compliance.js';
import { frame, numberOf } from './frames.js';

const ROOMY = { frames: Number.POSITIVE_INFINITY, bytes: 4 << 20 };

/** Frames by hand over a socket that nobody else reads: the hypervisor's side. */
class FarSide {
  readonly #memory = new FrameMemory();
  readonly #vector = new MessageVector(1, 0);
  constructor(
    readonly fd: number,
    to?: string,
  ) {
    if (to !== undefined) this.#vector.aimAt(unixAddress(to));
  }

  /** @returns whether the queue took it */
  offer(bytes: Buffer): boolean {
    this.#memory.bytes.set(bytes, 0);
    this.#vector.set(0, 0, this.#memory.arena.address, bytes.length);
    const sent = this.#vector.send(this.fd, 0, 1);
    if (sent < 0) throw new Error(`errno ${-sent}`);
    return sent === 1;
  }

  take(): Buffer | undefined {
    this.#vector.set(0, 0, this.#memory.arena.address, 70_000);
    if (this.#vector.receive(this.fd, 0, 1) !== 1) return undefined;
    return Buffer.from(this.#memory.bytes.subarray(0, this.#vector.frameBytes(0)));
  }

  takeAll(): Buffer[] {
    const found: Buffer[] = [];
    for (let one = this.take(); one !== undefined; one = this.take()) found.push(one);
    return found;
  }
}

function pair(parts: Partial<DgramPortParts> = {}, bufferBytes = 2 << 20) {
  const memory = new FrameMemory();
  const [socket, otherEnd] = datagramPair();
  const sendBuffer = raiseSendBuffer(socket, bufferBytes);
  raiseSendBuffer(otherEnd, 2 << 20);
  const base = { id: 'vm/nic0', memory, socket, otherEnd, sendBuffer, mtu: 1500, room: ROOMY };
  const port = new DgramPort({ ...base, ...parts });
  return { port, memory, far: new FarSide(otherEnd) };
}

const overFar = (far: FarSide) => ({
  inject: (frames: readonly Buffer[]) => {
    for (const bytes of frames) if (!far.offer(bytes)) throw new Error('full');
  },
  read: () => far.takeAll(),
});

portCompliance('a datagram pair', () => {
  const { port, memory, far } = pair();
  return { port, memory, ...overFar(far), close: () => port.close() };
});

describe('by path', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swt-dgram-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const open = () => {
    const memory = new FrameMemory();
    const [ours, theirs] = [join(directory, 'ours'), join(directory, 'theirs')];
    const socket = bindDatagram(ours);
    const room = { frames: datagramQueueLength(), bytes: 212_992 };
    const sendBuffer = raiseSendBuffer(socket, 1 << 20);
    const port = new DgramPort({ id: 'p', memory, socket, sendBuffer, mtu: 1500, room, peer: theirs });
    const fd = bindDatagram(theirs);
    return { port, memory, far: new FarSide(fd, ours), ours, fd };
  };

  test('a full queue of max_dgram_qlen is doubted, and nothing is lost of it', () => {
    const { port, far, fd } = open();
    let count = 0;
    while (far.offer(frame(count))) count++;
    expect(count).toBe(datagramQueueLength() + 1);
    const list = new FrameList();
    expect(port.receive(list)).toBe(count);
    expect(port.receive(list)).toBe(0);
    expect(port.upEvidence()).toMatchObject({ queueEmpty: true, mayHaveOverrun: true });
    closeFd(fd);
    port.close();
  });

  test('a peer that is not there refuses; one that comes back is reached again', () => {
    const { port, memory, ours, fd } = open();
    const list = new FrameList();
    const stage = (n: number): void => {
      list.count = 0;
      const slot = memory.stage(0, Buffer.concat([Buffer.alloc(10), frame(n)]));
      list.add(slot, slot + FRAME_OFFSET, 60);
    };
    closeFd(fd);
    stage(1);
    expect(port.send(list, 0)).toBeLessThan(0);
    expect(port.sendSentinel(list)).toBe(false);
    expect(port.downEvidence()).toMatchObject({ sentinelSent: true, ringEmpty: true });
    port.beginHold();
    expect(port.downEvidence().sentinelSent).toBe(false);
    const again = new FarSide(bindDatagram(join(directory, 'theirs')), ours);
    stage(2);
    expect(port.send(list, 0)).toBe(1);
    expect(again.takeAll().map(numberOf)).toEqual([2]);
    again.offer(frame(3));
    expect(port.receive(list)).toBe(1);
    closeFd(again.fd);
    port.close();
  });

  test('a socket file that nobody serves is replaced; one in use, or a plain file, is not', () => {
    const path = join(directory, 's');
    closeFd(bindDatagram(path));
    expect(existsSync(path)).toBe(true);
    const fd = bindDatagram(path);
    const code = (at: string): string => {
      try {
        closeFd(bindDatagram(at));
        return 'none';
      } catch (error) {
        return error instanceof StillwireError ? error.code : String(error);
      }
    };
    expect(code(path)).toBe('DEVICE_EXISTS');
    writeFileSync(join(directory, 'plain'), '');
    expect(code(join(directory, 'plain'))).toBe('DEVICE_EXISTS');
    expect(code(join(directory, 'x'.repeat(108)))).toBe('PATH_TOO_LONG');
    closeFd(fd);
  });
});

test('no datagram costs its sender more than we reckon', () => {
  const [a, b] = datagramPair();
  raiseSendBuffer(a, 1 << 20);
  const far = new FarSide(b);
  const near = new FarSide(a);
  for (const length of [1, 60, 192, 193, 1514, 1728, 1729, 3777, 9018, 16_064, 16_065, 33_000, 65_600]) {
    expect(near.offer(Buffer.alloc(length))).toBe(true);
    expect(unsentBytes(a), `${length} bytes`).toBeLessThanOrEqual(datagramCost(length));
    expect(far.take()?.length).toBe(length);
  }
  closeFd(a);
  closeFd(b);
});

test('the two ends of a pair are not limited by max_dgram_qlen', () => {
  const { port, far } = pair();
  for (let n = 0; n < datagramQueueLength() + 100; n++) expect(far.offer(frame(n))).toBe(true);
  port.close();
});

describe('a guest that reads nothing', () => {
  test('gets a window of frames, and sentinels even when the buffer is small', () => {
    for (const buffer of [1 << 20, 80_000]) {
      const { port, memory, far } = pair({}, buffer);
      const list = new FrameList();
      let sent = 0;
      for (;;) {
        list.count = 0;
        for (let i = 0; i < BURST; i++) {
          const slot = memory.stage(i, Buffer.concat([Buffer.alloc(10), frame(sent + i, { length: 1000 })]));
          list.add(slot, slot + FRAME_OFFSET, 1000);
        }
        const taken = port.send(list, 0);
        if (taken === 0) break;
        sent += taken;
      }
      expect(sent).toBeLessThanOrEqual(WINDOW);
      if (buffer > 1_000_000) expect(sent).toBe(WINDOW);
      else expect(sent).toBeGreaterThan(3);
      list.count = 0;
      list.add(memory.stage(0, Buffer.concat([Buffer.alloc(10), frame(0)])), FRAME_OFFSET, 60);
      list.start[0] = list.slot[0]! + FRAME_OFFSET;
      for (let i = 0; i < 128; i++) expect(port.sendSentinel(list)).toBe(true);
      expect(port.sendSentinel(list)).toBe(false);
      expect(port.downEvidence()).toMatchObject({ sentinelSent: false, ringEmpty: false });
      expect(far.takeAll()).toHaveLength(sent + 128);
      expect(port.downEvidence().ringEmpty).toBe(true);
      list.start[0] = list.slot[0]! + FRAME_OFFSET;
      for (let i = 0; i < 128; i++) expect(port.sendSentinel(list)).toBe(true); // all the room is there again
      port.close();
    }
  });
});

test('a datagram longer than any frame, or empty, is received as no frame; old headers do not shine through', () => {
  const { port, memory, far } = pair();
  memory.bytes.fill(0xff);
  far.offer(Buffer.alloc(MAX_FRAME_BYTES + 1));
  far.offer(Buffer.alloc(0));
  far.offer(frame(7));
  const list = new FrameList();
  expect(port.receive(list)).toBe(3);
  expect([...list.length.subarray(0, 3)]).toEqual([0, 0, 60]);
  const slot = list.slot[2]!;
  expect(memory.bytes.subarray(slot, slot + 10)).toEqual(Buffer.alloc(10));
  port.close();
});

describe('a recall', () => {
  const list = new FrameList();
  const send = (subject: ReturnType<typeof pair>, numbers: readonly number[]): void => {
    list.count = 0;
    for (const [i, n] of numbers.entries()) {
      const slot = subject.memory.stage(i, Buffer.concat([Buffer.alloc(10), frame(n, { length: 60 + n })]));
      list.add(slot, slot + FRAME_OFFSET, 60 + n);
    }
    expect(subject.port.send(list, 0)).toBe(numbers.length);
  };
  const sentinels = ({ port, memory }: ReturnType<typeof pair>, count: number): void => {
    list.count = 0;
    const slot = memory.stage(0, Buffer.concat([Buffer.alloc(10), frame(999)]));
    list.add(slot, slot + FRAME_OFFSET, 60);
    for (let i = 0; i < count; i++) expect(port.sendSentinel(list)).toBe(true);
  };
  const numbers = (stored: readonly Buffer[]): number[] => stored.map((each) => numberOf(each.subarray(10)));

  test('takes back what lies there, and knows the one that was taken before', () => {
    const subject = pair();
    send(subject, [1, 2, 3]);
    expect(subject.far.take()).toBeDefined(); // 1: the hypervisor has it, and cannot deliver it
    send(subject, [4]);
    sentinels(subject, 2);
    const { taken, ring } = subject.port.recall();
    expect(numbers([taken!])).toEqual([1]);
    expect(taken).toHaveLength(10 + 61);
    expect(numbers(ring)).toEqual([2, 3, 4, 999, 999]);
    expect(ring[0]!.subarray(0, 10)).toEqual(Buffer.alloc(10));
    expect(subject.far.take()).toBeUndefined();
    subject.port.close();
  });

  test('knows the one of a ring that was seen empty before; of an empty one, nothing', () => {
    const subject = pair();
    send(subject, [1, 2]);
    subject.far.takeAll();
    expect(subject.port.downEvidence().ringEmpty).toBe(true);
    expect(subject.port.recall()).toEqual({ taken: undefined, ring: [] });
    sentinels(subject, 1);
    send(subject, [3]);
    const { taken, ring } = subject.port.recall();
    expect(numbers([taken!, ...ring])).toEqual([2, 999, 3]);
    subject.port.close();
  });

  test('counts what is read after it', () => {
    const subject = pair();
    send(subject, [1, 200, 1400]);
    subject.port.recall();
    expect(subject.port.readSinceRecall()).toBe(0);
    sentinels(subject, 3);
    for (const count of [0, 1, 2, 3]) {
      expect(subject.port.readSinceRecall()).toBe(count);
      subject.far.take();
    }
    subject.port.close();
  });
});

test('a pair in use by a guest: nothing is sent before it is seen empty, and the way up is in doubt until a frame comes', () => {
  const subject = pair({ attached: true });
  const { port, far } = subject;
  const list = new FrameList();
  const send = (): number => {
    list.count = 0;
    const slot = subject.memory.stage(0, Buffer.concat([Buffer.alloc(10), frame(7)]));
    list.add(slot, slot + FRAME_OFFSET, 60);
    return port.send(list, 0);
  };
  far.offer(frame(1)); // of the time when nobody listened
  expect(port.upEvidence()).toMatchObject({ mayHaveOverrun: true });
  expect(port.kernelProof).toBe(false);
  expect(send()).toBe(1); // seen empty in the sending
  expect(port.receive(list)).toBe(1);
  expect(port.upEvidence()).toMatchObject({ mayHaveOverrun: false, queueEmpty: true });
  port.close();

  const [socket, otherEnd] = datagramPair();
  const before = new FarSide(socket);
  expect(before.offer(frame(3))).toBe(true); // left unread by the switch before
  const memory = new FrameMemory();
  const parts = { id: 'vm/nic0', memory, socket, otherEnd, sendBuffer: 1 << 20, mtu: 1500, room: ROOMY };
  const next = new DgramPort({ ...parts, attached: true });
  list.count = 0;
  const slot = memory.stage(0, Buffer.concat([Buffer.alloc(10), frame(4)]));
  list.add(slot, slot + FRAME_OFFSET, 60);
  expect(next.send(list, 0)).toBe(0);
  expect(new FarSide(otherEnd).takeAll().map(numberOf)).toEqual([3]);
  expect(next.send(list, 0)).toBe(1);
  next.close();
});

describe('doubt about the way up', () => {
  const list = new FrameList();
  const drain = (port: DgramPort): void => {
    while (port.receive(list) > 0);
  };
  const open = (frames: number) => {
    const { port, far } = pair({ room: { frames, bytes: 1 << 20 } });
    const send = (count: number): void => {
      for (let n = 0; n < count; n++) expect(far.offer(frame(n))).toBe(true);
    };
    return { port, send, doubts: () => [port.upEvidence().mayHaveOverrun, !port.kernelProof] };
  };

  test('begins when as many arrived as there is room for, and lasts while nothing more arrives', () => {
    const { port, send, doubts } = open(100);
    send(99);
    drain(port);
    expect(doubts()).toEqual([false, false]);
    send(100);
    drain(port);
    for (let i = 0; i < 3; i++) {
      drain(port);
      expect(doubts()).toEqual([true, true]);
    }
    port.close();
  });

  test('ends with an arrival in an empty queue, and not with one more flood', () => {
    const { port, send, doubts } = open(100);
    for (let i = 0; i < 2; i++) {
      send(150);
      drain(port);
      expect(doubts()).toEqual([true, true]);
    }
    send(1);
    drain(port);
    expect(doubts()).toEqual([false, false]);
    port.close();
  });

  test('counts on while the queue is never seen empty, and by bytes too', () => {
    const { port, send, doubts } = open(100);
    send(BURST);
    expect(port.receive(list)).toBe(BURST); // as many as were asked for: there may be more
    send(BURST);
    expect(port.receive(list)).toBe(BURST);
    expect(doubts()).toEqual([true, true]);
    port.close();
    const bytes = pair({ room: { frames: 1000, bytes: 10 * datagramCost(1000) } });
    for (let n = 0; n < 10; n++) bytes.far.offer(frame(n, { length: 1000 }));
    drain(bytes.port);
    expect(bytes.port.upEvidence().mayHaveOverrun).toBe(true);
    bytes.port.close();
  });
});
