/** The ring itself, and what is done without one. */
import { afterEach, describe, expect, test } from 'vitest';
import { openRing, chosenEngine } from '../../src/switch/open-ring.js';
import {
  clearEvent,
  closeFd,
  createEvent,
  datagramPair,
  EAGAIN,
  mapArena,
  O_RDONLY,
  openFd,
  Ring,
  signalEvent,
  type RingSetup,
} from '../../src/sys/index.js';
import { ECONNREFUSED, native } from '../../src/sys/libc.js';
import { openDescriptors } from './lab.js';

const rings: Ring[] = [];
const fds: number[] = [];
const ring = (setup?: RingSetup): Ring => {
  const made = new Ring(setup);
  rings.push(made);
  return made;
};
const own = (fd: number): number => {
  fds.push(fd);
  return fd;
};
afterEach(() => {
  for (const each of rings.splice(0)) each.close();
  for (const fd of fds.splice(0)) closeFd(fd);
});

describe('a batch', () => {
  test('is executed in order, and each result is that of its own request', () => {
    const one = ring();
    const [near, far] = datagramPair().map(own) as [number, number];
    const files = [one.addFile(near), one.addFile(far)] as const;
    const arena = mapArena(4096);
    for (let round = 0; round < 300; round++) {
      arena.bytes.fill(0);
      const text = Array.from({ length: 20 }, (_, i) => `${round}-${i}`);
      text.forEach((word, i) => {
        arena.bytes.write(word, i * 16, 'latin1');
        one.write(files[0], arena.address + i * 16, word.length);
      });
      one.run();
      expect(Array.from(one.results.subarray(0, 20))).toEqual(text.map((word) => word.length));
      for (let i = 0; i < 22; i++) one.read(files[1], arena.address + 1024 + i * 16, 16);
      one.run();
      expect(Array.from(one.results.subarray(0, 22))).toEqual([
        ...text.map((word) => word.length),
        -EAGAIN, // at once, and nothing is left behind that would take a frame later
        -EAGAIN,
      ]);
      const found = text.map((word, i) =>
        arena.bytes.toString('latin1', 1024 + i * 16, 1024 + i * 16 + word.length),
      );
      expect(found).toEqual(text);
    }
  });

  test('with memory pinned it does the same, beside what is not pinned', () => {
    const one = ring();
    const [near, far] = datagramPair().map(own) as [number, number];
    const files = [one.addFile(near), one.addFile(far)] as const;
    const [pinned, other] = [mapArena(8192), mapArena(8192)];
    one.pin(pinned);
    one.pin(other); // the first is what counts
    const words = Array.from({ length: 30 }, (_, i) => `frame ${i}`);
    words.forEach((word, i) => {
      const { address, bytes } = i % 2 === 0 ? pinned : other;
      bytes.write(word, i * 16, 'latin1');
      one.write(files[0], address + i * 16, word.length);
    });
    one.run();
    expect(Array.from(one.results.subarray(0, 30))).toEqual(words.map((word) => word.length));
    const places = words.map((_, i) => ({ arena: i % 3 === 0 ? other : pinned, at: 4096 - 16 + i * 16 })); // one on two pages
    for (const { arena, at } of places) one.read(files[1], arena.address + at, 16);
    one.run();
    const found = places.map(({ arena, at }, i) => arena.bytes.toString('latin1', at, at + one.results[i]!));
    expect(found).toEqual(words);
  });

  test('a file that was removed is used no more, and held no more', () => {
    const one = ring();
    const [near, far] = datagramPair();
    const other = one.addFile(own(far));
    const file = one.addFile(near);
    one.removeFile(file);
    closeFd(near);
    const arena = mapArena(64);
    one.write(other, arena.address, 64);
    one.run();
    expect(one.results[0]).toBe(-ECONNREFUSED); // the near end is gone with its only descriptor
    expect(one.addFile(far)).toBe(file);
  });
});

describe('watching', () => {
  const tags = new Int32Array(8);

  test('tells once, and what is not read away again when asked again', () => {
    const one = ring();
    const [first, second] = [own(createEvent()), own(createEvent())];
    one.watch(first, 7);
    one.watch(second, 8);
    expect(one.wait(0, tags)).toBe(0);
    expect(one.wait(500, tags)).toBe(0);
    signalEvent(second);
    expect(one.wait(-1, tags)).toBe(1);
    expect(tags[0]).toBe(8);
    expect(one.wait(0, tags)).toBe(0);
    one.watch(second, 8);
    expect(one.wait(-1, tags)).toBe(1);
    clearEvent(second);
    one.watch(second, 8);
    expect(one.wait(0, tags)).toBe(0);
    signalEvent(first);
    signalEvent(second);
    expect(one.wait(-1, tags)).toBe(2);
  });

  test('is not disturbed by a batch, nor lost in one', () => {
    const one = ring();
    const event = own(createEvent());
    const [near, far] = datagramPair().map(own) as [number, number];
    const file = one.addFile(near);
    const arena = mapArena(64);
    one.watch(event, 3);
    one.watch(far, 4);
    signalEvent(event);
    one.write(file, arena.address, 5);
    one.run();
    expect(one.results[0]).toBe(5);
    expect(one.wait(-1, tags)).toBe(2);
    expect(Array.from(tags.subarray(0, 2)).sort()).toEqual([3, 4]);
  });

  test('what is unwatched is told no more, though it was ready, and not held', () => {
    const one = ring();
    const [near, far] = datagramPair();
    const file = one.addFile(far);
    own(far);
    one.watch(near, 1);
    one.wait(0, tags);
    one.unwatch(1);
    one.unwatch(1);
    closeFd(near);
    const arena = mapArena(64);
    one.write(file, arena.address, 64);
    one.run();
    expect(one.results[0]).toBe(-ECONNREFUSED); // the end that was watched is gone
    const event = own(createEvent());
    signalEvent(event);
    one.watch(event, 2);
    one.unwatch(2);
    expect(one.wait(0, tags)).toBe(0);
  });

  test('more requests than the ring has room for are submitted on the way', () => {
    const one = ring();
    const events = Array.from({ length: 600 }, () => own(createEvent()));
    events.forEach((event, tag) => one.watch(event, tag));
    for (const event of events) signalEvent(event);
    const told = new Set<number>();
    for (let turns = 0; told.size < 600 && turns < 200; turns++) {
      const count = one.wait(0, tags);
      for (let i = 0; i < count; i++) told.add(tags[i]!);
    }
    expect(told.size).toBe(600);
  });
});

describe('a kernel without io_uring', () => {
  const cSetup = native<[number, number, number]>(
    'long syscall(long number, unsigned int entries, intptr_t params)',
  );
  /** As one that refuses: no entries, no ring. */
  const refusing: RingSetup = (_, params) => cSetup(425, 0, params);
  /** One whose descriptor turns out to be of no use. */
  const useless: RingSetup = () => openFd('/dev/null', O_RDONLY);

  test.each([
    ['refuses', refusing],
    ['gives no ring', useless],
  ])('that %s: epoll takes over, and nothing is left', (_, setup) => {
    new Ring().close();
    const before = openDescriptors();
    expect(openRing('auto', () => ring(setup))).toBeUndefined();
    expect(() => openRing('io_uring', () => ring(setup))).toThrow(/io_uring_setup|mmap/);
    expect(openRing('epoll', () => ring())).toBeUndefined();
    expect(openDescriptors()).toEqual(before);
  });

  test('who knows better says so in the environment', () => {
    expect(chosenEngine({})).toBe('auto');
    expect(chosenEngine({ STILLWIRE_ENGINE: 'epoll' })).toBe('epoll');
    expect(() => chosenEngine({ STILLWIRE_ENGINE: 'kqueue' })).toThrow(/auto, io_uring, epoll/);
  });
});
