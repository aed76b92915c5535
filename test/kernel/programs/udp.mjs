// udp.mjs send HOST PORT COUNT PER_MS | udp.mjs receive ADDRESS PORT QUIET_MS
// Sequence-numbered datagrams. The receiver says "ready", then, when nothing has come for QUIET_MS, what it saw.
import { createSocket } from 'node:dgram';
import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from 'node:timers';

const [mode, host, port, ...rest] = process.argv.slice(2);
const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });

if (mode === 'send') {
  const [count, perMs] = rest.map(Number);
  const began = performance.now();
  let n = 0;
  const turn = () => {
    const due = Math.min(count, Math.ceil((performance.now() - began) * perMs));
    for (; n < due; n++) {
      const data = Buffer.alloc(64);
      data.writeUInt32BE(n);
      socket.send(data, Number(port), host);
    }
    if (n < count) setTimeout(turn, 1);
    else setTimeout(() => socket.close(() => console.log(JSON.stringify({ sent: n }))), 50);
  };
  turn();
} else {
  const seen = { received: 0, duplicated: 0, reordered: 0, last: -1 };
  const had = new Set();
  const report = () => {
    console.log(JSON.stringify(seen));
    socket.close();
  };
  let timer;
  socket.on('message', (data) => {
    const n = data.readUInt32BE();
    if (had.has(n)) seen.duplicated++;
    else if (n < seen.last) seen.reordered++;
    had.add(n);
    seen.last = Math.max(seen.last, n);
    seen.received++;
    clearTimeout(timer);
    timer = setTimeout(report, Number(rest[0]));
  });
  socket.bind(Number(port), host, () => console.log('ready'));
  timer = setTimeout(report, 10_000);
}
