/** Frames as they pass, as a pcapng stream: one interface per port, in the order of the definition. */
import { definedPorts } from '../image/index.js';
import { encodeHeader, encodePacket } from '../pcap/index.js';
import { StillwireError } from '../errors/index.js';
import { VERSION } from '../version.js';
import type { Served } from './control.js';

/**
 * Begins with the header at once, so that a reader knows the ports before any frame has passed. Frames missed because
 * the reader was slow are told with the next frame that is not.
 */
export async function* captureStream(
  { definition, network }: Pick<Served, 'definition' | 'network'>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const ports = [...definedPorts(definition).keys()];
  const indexes = new Map(ports.map((port, i) => [port, i]));
  yield encodeHeader({
    application: `stillwire ${VERSION}`,
    comment: `network ${definition.network}`,
    interfaces: ports.map((name) => ({ name })),
  });
  for await (const { frames, missed } of network.capture(signal)) {
    let dropped = missed;
    const blocks = frames.map(({ port, timeNs, bytes }) => {
      const index = indexes.get(port);
      if (index === undefined) throw new StillwireError('INTERNAL', `captured on unknown port ${port}`);
      const block = encodePacket({
        interface: index,
        timeNs,
        bytes,
        direction: 'inbound',
        ...(dropped > 0 && { dropped }),
      });
      dropped = 0;
      return block;
    });
    yield new Uint8Array(Buffer.concat(blocks));
  }
}

/** Lets one watcher in at a time, and refuses the second before its answer has begun. */
export class CaptureDesk {
  #watched = false;

  /** @throws StillwireError NETWORK_BUSY */
  open(served: Served, signal: AbortSignal): AsyncIterable<Uint8Array> {
    if (this.#watched) {
      throw new StillwireError('NETWORK_BUSY', 'another capture is running on this network');
    }
    this.#watched = true;
    return this.#watch(served, signal);
  }

  async *#watch(served: Served, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      yield* captureStream(served, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#watched = false;
    }
  }
}
