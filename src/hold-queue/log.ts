/**
 * The log of one port's queue in the hold file. Its places, from the head: frames put in front while there was no room
 * to log them (loose), then those logged, then those that came when nothing was logged. The queue itself is the port's; here
 * is counted what of it is in the file.
 */
import type { PortId } from '../frame/types.js';
import * as File from './layout.js';
import type { FrameQueue, HeldFrame } from './queue.js';
import type { Segments } from './segments.js';

/** What the log needs of a queue. */
type Queue = Pick<FrameQueue, 'length' | 'at' | 'replace'>;

/** What the logs of all ports share: the file (store.ts). */
interface SharedFile {
  readonly segments: Segments;
  readonly words: Int32Array;
  /** Whether what waits is written down at present. */
  readonly logging: boolean;
  giveUp(why: string): void;
  nameOf(id: PortId): number;
  moved(frame: HeldFrame): HeldFrame;
  placeOf(frame: HeldFrame): number;
  beginBurst(name: number, position: number, count: number): void;
  endBurst(): void;
}

/** Entries that follow each other in one segment. */
interface Run {
  readonly segment: number;
  entries: number;
}

export class PortLog {
  readonly #store: SharedFile;
  readonly #id: PortId;
  #name = -1;
  /** Position of the first logged frame. */
  #head = 0;
  #logged = 0;
  #loose = 0;
  /** Frames of the queue that lie in the file. */
  #stored = 0;
  readonly #runs: Run[] = [];

  constructor(store: SharedFile, id: PortId) {
    this.#store = store;
    this.#id = id;
  }

  /** A frame was put at the tail. */
  pushed(frame: HeldFrame): void {
    this.#countStored(frame);
    this.#append(frame);
  }

  #append(frame: HeldFrame): void {
    if (!this.#ready() || !this.#write(frame, (this.#head + this.#logged) | 0)) return;
    this.#store.segments.commit();
    this.#logged++;
    const { current } = this.#store.segments;
    const last = this.#runs.at(-1);
    if (last?.segment === current) last.entries++;
    else this.#addRun(current, false);
  }

  /** These frames, in the file as far as there is room. */
  moved(frames: readonly HeldFrame[]): HeldFrame[] {
    return frames.map((frame) => this.#store.moved(frame));
  }

  /** Frames were put before the head, in this order. All of them count, or none. */
  pushedFront(frames: readonly HeldFrame[]): void {
    for (const frame of frames) this.#countStored(frame);
    this.#prepend(frames);
  }

  #prepend(frames: readonly HeldFrame[]): void {
    const ready = this.#ready(); // which it is not while there are loose ones: they come when the file is full
    const head = (this.#head - frames.length) | 0;
    const segments: number[] = [];
    const writes = (frame: HeldFrame, i: number): boolean => {
      if (!this.#write(frame, (head + i) | 0)) return false;
      segments.push(this.#store.segments.current);
      return true;
    };
    if (!ready || !frames.every(writes)) {
      this.#loose += frames.length;
      return;
    }
    this.#store.segments.commit();
    for (const segment of segments.reverse()) {
      if (this.#runs[0]?.segment === segment) this.#runs[0].entries++;
      else this.#addRun(segment, true);
    }
    this.#logged += frames.length;
    this.#moveHead(head);
  }

  #addRun(segment: number, front: boolean): void {
    this.#store.segments.use(segment);
    this.#runs[front ? 'unshift' : 'push']({ segment, entries: 1 });
  }

  #countStored(frame: HeldFrame): void {
    const place = this.#store.placeOf(frame);
    if (place === 0) return;
    this.#stored++;
    this.#store.segments.usePlace(place);
  }

  /** Writes an entry, which does not count yet. */
  #write(frame: HeldFrame, position: number): boolean {
    const { segments, words } = this.#store;
    const from = this.#store.placeOf(frame);
    const place = from === 0 ? 0 : segments.allot(File.ENTRY_BYTES);
    if (place === 0) {
      this.#store.giveUp('no room in the run directory');
      return false;
    }
    words[place / 4] = (File.ENTRY_KIND << File.KIND_SHIFT) | this.#name;
    words[place / 4 + 1] = position;
    words[place / 4 + 2] = from;
    words[place / 4 + 3] = frame.sequence; // modulo 2^32
    return true;
  }

  /** Whether places of this queue are to be written, and can be named. */
  #ready(): boolean {
    if (!this.#store.logging) return false;
    if (this.#name >= 0) return true;
    this.#name = this.#store.nameOf(this.#id);
    if (this.#name < 0) this.#store.giveUp('too many ports');
    else this.#head = this.#store.words[File.HEADS_AT / 4 + this.#name]!; // of a port of this name that went
    return this.#name >= 0;
  }

  #moveHead(to: number): void {
    this.#head = to;
    Atomics.store(this.#store.words, File.HEADS_AT / 4 + this.#name, to);
  }

  /** The first `count` frames of the queue are about to leave it. */
  shifted(queue: Queue, count: number): void {
    if (this.#logged === 0 && this.#stored === 0) {
      this.#loose = Math.max(0, this.#loose - count);
      return;
    }
    const loose = Math.min(count, this.#loose);
    const logged = Math.min(count - loose, this.#logged);
    this.#loose -= loose;
    if (logged > 0) {
      this.#logged -= logged;
      this.#moveHead((this.#head + logged) | 0);
      this.#endRuns(logged);
    }
    for (let i = 0; i < count; i++) {
      const place = this.#store.placeOf(queue.at(i));
      if (place === 0) continue;
      this.#stored--;
      this.#store.segments.releasePlace(place);
    }
  }

  #endRuns(entries: number): void {
    for (let left = entries; left > 0;) {
      const run = this.#runs[0]!;
      const ended = Math.min(left, run.entries);
      run.entries -= ended;
      left -= ended;
      if (run.entries > 0) return;
      this.#runs.shift();
      this.#store.segments.release(run.segment);
    }
  }

  /**
   * The first `count` frames of the queue are about to be sent, in one burst.
   * @returns whether {@link endBurst} is to follow, behind {@link shifted}
   */
  beginBurst(count: number): boolean {
    // Loose frames before the logged ones: their notes would be taken for those of others.
    if (this.#logged === 0 || this.#loose > 0) return false;
    this.#store.beginBurst(this.#name, this.#head, Math.min(count, this.#logged));
    return true;
  }

  endBurst(): void {
    this.#store.endBurst();
  }

  /** Moves into the file what waits outside it. `moved` remembers what has been: a flooded frame lies in many queues. */
  secure(queue: Queue, moved: Map<HeldFrame, HeldFrame>): void {
    const move = (i: number): HeldFrame => {
      const frame = queue.at(i);
      const there = moved.get(frame) ?? this.#store.moved(frame);
      if (there === frame) return frame;
      moved.set(frame, there);
      queue.replace(i, there);
      this.#countStored(there);
      return there;
    };
    const loose = this.#loose;
    this.#loose = 0;
    if (loose > 0) this.#prepend(Array.from({ length: loose }, (_, i) => move(i)));
    for (let i = this.#loose + this.#logged; i < queue.length && this.#store.logging; i++) {
      this.#append(move(i));
    }
  }
}
