/**
 * What every Port must do, whatever carries its frames: run against the fake port of the pure tests and against each
 * real one, so that what the switch is tested on is what it runs on.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeSentinel, newNonce } from '../src/frame/sentinel.js';
import { VNET_HEADER_BYTES } from '../src/frame/types.js';
import { BURST, FRAME_OFFSET, FrameList, type FrameMemory } from '../src/port/batch.js';
import { hasRing } from '../src/port/evidence.js';
import type { Port } from '../src/port/port.js';
import { judge } from '../src/quiesce/index.js';
import { frame, numberOf, tagOf } from './pure/frames.js';

export interface PortSubject {
  readonly port: Port;
  readonly memory: FrameMemory;
  /** The far side sends frames. */
  inject(frames: readonly Buffer[]): void;
  /** The far side reads what has come to it, sentinels too. */
  read(): Buffer[];
  /** Removes what the subject made; the port is closed. */
  close(): void;
}

/** Waits at most a second for the kernel to have done what `ready` looks at. */
async function until(ready: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !ready(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
}

export function portCompliance(name: string, open: () => PortSubject): void {
  describe(`${name} is a Port`, () => {
    let subject: PortSubject;
    const list = new FrameList();
    beforeEach(() => {
      subject = open();
    });
    afterEach(() => {
      subject.close();
    });

    const stage = (frames: readonly Buffer[]): void => {
      list.count = 0;
      for (const [i, bytes] of frames.entries()) {
        const slot = subject.memory.stage(i, Buffer.concat([Buffer.alloc(VNET_HEADER_BYTES), bytes]));
        list.add(slot, slot + FRAME_OFFSET, bytes.length);
      }
    };

    const receiveAll = async (count: number): Promise<Buffer[]> => {
      const found: Buffer[] = [];
      const burst = new FrameList();
      await until(() => {
        while (subject.port.receive(burst) > 0) {
          expect(burst.count).toBeLessThanOrEqual(BURST);
          for (let i = 0; i < burst.count; i++) {
            const start = burst.start[i]!;
            found.push(Buffer.from(subject.memory.bytes.subarray(start, start + burst.length[i]!)));
          }
        }
        return found.length >= count;
      });
      return found;
    };

    const readAll = async (count: number): Promise<Buffer[]> => {
      const found: Buffer[] = [];
      await until(() => {
        found.push(...subject.read());
        return found.length >= count;
      });
      return found;
    };

    test('receives what the far side sends, whole and in order, in bursts; then nothing', async () => {
      const frames = Array.from({ length: 150 }, (_, n) => frame(n, { length: 60 + n * 9 }));
      subject.inject(frames);
      expect(await receiveAll(150)).toEqual(frames);
      expect(subject.port.receive(new FrameList())).toBe(0);
    });

    test('tags arrive where they belong', async () => {
      const tagged = [frame(1, { tag: 5 }), frame(2, { tag: 0xe007 }), frame(3)];
      subject.inject(tagged);
      expect(await receiveAll(3)).toEqual(tagged);
      stage(tagged);
      expect(subject.port.send(list, 0)).toBe(3);
      expect((await readAll(3)).map((bytes) => [numberOf(bytes), tagOf(bytes)])).toEqual([
        [1, 5],
        [2, 7],
        [3, undefined],
      ]);
    });

    test('sends from where it is told, in order, and says how many it took', async () => {
      stage(Array.from({ length: 20 }, (_, n) => frame(n)));
      expect(subject.port.send(list, 5)).toBe(15);
      expect((await readAll(15)).map(numberOf)).toEqual(Array.from({ length: 15 }, (_, n) => n + 5));
    });

    test('what it does not take now it takes later; nothing is lost between the two', async () => {
      const found: number[] = [];
      for (let round = 0; round < 20; round++) {
        stage(Array.from({ length: 60 }, (_, n) => frame(round * 60 + n)));
        for (let from = 0; from < list.count;) {
          const sent = subject.port.send(list, from);
          expect(sent).toBeGreaterThanOrEqual(0);
          from += sent;
          if (sent === 0) found.push(...subject.read().map(numberOf));
        }
      }
      found.push(...(await readAll(1200 - found.length)).map(numberOf));
      expect(found).toEqual(Array.from({ length: 1200 }, (_, n) => n));
    });

    test('proves the way down when all has been read, and does not before', async () => {
      const { port } = subject;
      port.beginHold();
      stage([frame(1)]);
      expect(port.send(list, 0)).toBe(1);
      const nonce = newNonce();
      stage([encodeSentinel(nonce)]);
      expect(port.sendSentinel(list)).toBe(hasRing(port.kind));
      const verdict = () =>
        judge({
          port: port.id,
          kind: port.kind,
          method: 'count',
          down: port.downEvidence(),
          up: port.upEvidence(),
        });
      if (hasRing(port.kind)) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        expect(verdict().proven).toBe(false);
      }
      const read = await readAll(hasRing(port.kind) ? 2 : 1);
      expect(numberOf(read[0]!)).toBe(1);
      if (hasRing(port.kind)) expect(read[1]).toEqual(encodeSentinel(nonce));
      expect(verdict()).toEqual({ port: port.id, proven: true });
      port.beginHold();
      expect(port.downEvidence().sentinelSent).toBe(false); // a new hold needs a sentinel of its own
    });

    test('gives back what was not read, whole and in order, and nobody reads it any more', async () => {
      const { port } = subject;
      const frames = [frame(1), frame(2, { tag: 5 }), frame(3, { length: 900 })];
      stage(frames);
      expect(port.send(list, 0)).toBe(3);
      const ring = port.recall().ring.map((stored) => stored.subarray(VNET_HEADER_BYTES));
      expect(port.readSinceRecall()).toBe(0);
      if (!hasRing(port.kind)) {
        expect(ring).toEqual([]); // it was with the far side at once
        return;
      }
      expect(ring).toEqual(frames);
      expect(subject.read()).toEqual([]);
      stage([frame(4)]);
      expect(port.send(list, 0)).toBe(1);
      expect((await readAll(1)).map(numberOf)).toEqual([4]);
      expect(port.readSinceRecall()).toBe(1);
    });

    test('shows frames waiting upwards, and the sums meet when they are taken', async () => {
      const { port } = subject;
      subject.inject([frame(1), frame(2)]);
      await until(() => !port.upEvidence().queueEmpty);
      expect(port.upEvidence()).toMatchObject({ receivedFrames: 0, queueEmpty: false });
      await receiveAll(2);
      const up = port.upEvidence();
      expect(up).toMatchObject({ receivedFrames: 2, socketDrops: 0, queueEmpty: true });
      if (port.kind !== 'external') expect(up.deviceFrames).toBe(2);
    });
  });
}
