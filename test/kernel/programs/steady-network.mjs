// A network whose two guests send each other frames without an end in between, to see what its switch thread allocates:
// steady-network.mjs BUILD NETWORK FRAMES BYTES GSO_SIZE. To be run with --trace-gc --expose-gc: V8 notes every garbage
// collection of every isolate; two forced ones of this thread stand around the steady part.
import { readSync, writeSync } from 'node:fs';

const [build, name, ...numbers] = process.argv.slice(2);
const [count, bytes, gsoSize] = numbers.map(Number);
const { Network } = await import(`${build}/network/index.js`);

const guest = { nics: [{ name: 'nic0', segment: 'lan', mac: '', mtu: 1500 }] };
const network = await Network.open({
  network: name,
  segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
  guests: { a: guest, b: guest, c: guest },
  ports: {},
});
const fds = ['a', 'b', 'c'].map((id) => network.tapFd(`${id}/nic0`));
const { acceptOffloads } = await import(`${build}/sys/index.js`);
for (const fd of fds) acceptOffloads(fd);

/** A frame of TCP over IPv4 from one to another, with its virtio-net header. */
function frameOf(from, to) {
  const frame = Buffer.alloc(10 + bytes);
  frame.set([2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0, 0x45], 10);
  frame.writeUInt16BE(bytes - 14, 26);
  frame[33] = 6;
  frame[56] = 0x50;
  if (gsoSize > 0) {
    frame[0] = frame[1] = 1;
    frame.writeUInt16LE(54, 2);
    frame.writeUInt16LE(gsoSize, 4);
    frame.writeUInt16LE(34, 6);
    frame.writeUInt16LE(16, 8);
  }
  return frame;
}

const buffer = Buffer.alloc(70_000);
function readAll(fd) {
  for (let read = 0; ; read++) {
    try {
      readSync(fd, buffer);
    } catch (error) {
      if (error.code === 'EAGAIN') return read;
      throw error;
    }
  }
}

const frames = [frameOf(1, 2), frameOf(2, 1)];
// No more than the windows of the ports: what waits in a queue is copied, and that is not what is looked at here.
const [few, most] = gsoSize > 0 ? [2, 4] : [16, 64];
/** Sends `sent` frames, a few each way in turn, and reads what comes; how many came. */
function exchange(sent) {
  let read = 0;
  for (let n = 0; n < sent;) {
    for (const [i, frame] of frames.entries()) {
      for (let k = 0; k < few && n < sent; k++, n++) writeSync(fds[i], frame);
    }
    while (n - read > most) read += readAll(fds[0]) + readAll(fds[1]);
  }
  while (read < sent) read += readAll(fds[0]) + readAll(fds[1]);
  return read;
}

const line = (text) => writeSync(1, `${text}\n`);
exchange(2); // flooded: the stations are learned, and the third reads it too
readAll(fds[2]);
exchange(count);
globalThis.gc();
const read = exchange(count);
globalThis.gc();
const { ports } = await network.ledger();
await network.close();
line(JSON.stringify({ read, dropped: ports.map(({ egress }) => egress.dropped) }));
