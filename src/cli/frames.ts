/** `frames`: what was in flight at a checkpoint, a line each. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { StillwireError } from '../errors/index.js';
import { describeFrame } from '../frame/describe.js';
import type { InflightFrame } from '../frame/types.js';
import { decodeInflight, INFLIGHT_FILE, readManifest, type Manifest } from '../image/index.js';
import { MAX_INFLIGHT_BYTES } from '../image/inflight.js';
import { readBounded } from '../image/read.js';
import { encodeClassic } from '../pcap/index.js';
import { defineCommand } from './command.js';
import { counted } from './format.js';
import { option } from './options.js';
import { find } from './places.js';
import { openTarget } from './target.js';

/** Lines written at once: enough to be quick, few enough that `| head` ends soon. */
const LINES_PER_WRITE = 512;

/** The frames alone: the states of the guests, which may be large, are not read. */
async function readFrames(directory: string, { files }: Manifest): Promise<readonly InflightFrame[]> {
  const bytes = await readBounded(join(directory, INFLIGHT_FILE), MAX_INFLIGHT_BYTES).catch(
    (error: unknown) => {
      throw new StillwireError(
        'IMAGE_INVALID',
        `${directory}: ${(error as Error).message}`,
        { path: directory },
        error,
      );
    },
  );
  const expected = files.find(({ path }) => path === INFLIGHT_FILE)?.sha256;
  if (createHash('sha256').update(bytes).digest('hex') !== expected) {
    throw new StillwireError('IMAGE_INVALID', `${directory}: ${INFLIGHT_FILE} has changed (sha256 differs)`, {
      path: directory,
    });
  }
  return decodeInflight(bytes).frames;
}

/** `05:06:07.089123` in UTC. */
function timeOfDay(timeNs: bigint): string {
  const micros = ((timeNs / 1000n) % 1_000_000n).toString().padStart(6, '0');
  return `${new Date(Number(timeNs / 1_000_000n)).toISOString().slice(11, 19)}.${micros}`;
}

export const describeInflight = ({
  sequence,
  timeNs,
  ingress,
  destinations,
  bytes,
  vnet,
}: InflightFrame): string =>
  `#${sequence} ${timeOfDay(timeNs)} ${ingress} → ${destinations.join(', ')}  ${describeFrame(bytes, vnet)}`;

const toDocument = ({ sequence, timeNs, ingress, destinations, bytes, vnet }: InflightFrame) => ({
  sequence,
  timeNs,
  ingress,
  destinations,
  bytes: bytes.length,
  description: describeFrame(bytes, vnet),
});

export const frames = defineCommand<{ readonly pcap?: string }>({
  usage: 'frames <checkpoint>',
  group: 'checkpoint',
  summary: 'the frames that were in flight, a line each',
  description: `One line for each frame: its number, when it entered (UTC), where, where it has still to go, and what it is. The
checkpoint's own inflight.pcapng opens in Wireshark too.`,
  options: [
    option(
      '--pcap <file>',
      'write a classic pcap file instead, for programs that know no pcapng; - is stdout',
    ),
  ],
  async run(session, [name = ''], { pcap }) {
    const { path } = await find(session, name);
    const manifest = await readManifest(path);
    const found = await readFrames(path, manifest);
    if (pcap !== undefined) {
      const target = await openTarget(session, pcap);
      await target.write(encodeClassic(found));
      await target.close();
      await session.say(`${counted(found.length, 'frame')} written to ${pcap === '-' ? 'stdout' : pcap}`);
      return undefined;
    }
    const { network } = manifest.definition;
    if (session.flags.json) {
      await session.document({ name: manifest.name, network, frames: found.map(toDocument) }, () => '');
      return undefined;
    }
    for (let at = 0; at < found.length; at += LINES_PER_WRITE) {
      const lines = found.slice(at, at + LINES_PER_WRITE).map(describeInflight);
      if (!(await session.out.line(lines.join('\n')))) break;
    }
    if (found.length === 0) await session.say('no frame was in flight');
    return undefined;
  },
});
