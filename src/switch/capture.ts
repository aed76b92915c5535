/** Copies of passing frames for whoever watches, bounded: what a slow watcher cannot take is counted, not kept. */
import type { PortId } from '../frame/types.js';
import { wallNs } from '../sys/index.js';
import type { CapturedFrame } from './protocol.js';

const BATCH_BYTES = 256 * 1024;
/** What a frame costs besides its bytes: a flood of runts must not weigh more than one of long frames. */
const FRAME_COST_BYTES = 256;
/** Batches under way to the main thread, at most. */
const BATCHES_UNDER_WAY = 64;

export class Capture {
  #frames: CapturedFrame[] = [];
  #bytes = 0;
  #missed = 0;
  #underWay = 0;

  take(port: PortId, bytes: Uint8Array): void {
    if (this.#bytes >= BATCH_BYTES) {
      this.#missed++;
      return;
    }
    this.#frames.push({ port, timeNs: wallNs(), bytes: Uint8Array.from(bytes) });
    this.#bytes += bytes.length + FRAME_COST_BYTES;
  }

  /** What has been gathered, or undefined when there is nothing or the watcher is behind. */
  batch(): { frames: CapturedFrame[]; missed: number } | undefined {
    if (this.#frames.length === 0 || this.#underWay >= BATCHES_UNDER_WAY) return undefined;
    const batch = { frames: this.#frames, missed: this.#missed };
    this.#frames = [];
    this.#bytes = this.#missed = 0;
    this.#underWay++;
    return batch;
  }

  /** The watcher has taken a batch. */
  acknowledge(): void {
    this.#underWay--;
  }
}
