// flood.mjs: a guest that sends as fast as it can, for ever, to a station that nobody has; its TAP's descriptor is 3.
import { writeSync } from 'node:fs';

const frame = Buffer.alloc(10 + 60);
frame.set([2, 0, 0, 0, 9, 9, 2, 0, 0, 0, 9, 1, 0x88, 0xb6], 10);
console.log('ready');
for (;;) {
  try {
    writeSync(3, frame);
  } catch (error) {
    if (error.code !== 'EAGAIN') throw error;
  }
}
