// tcp.mjs serve ADDRESS PORT | tcp.mjs send HOST PORT BYTES
// Bulk with a known checksum; both sides print {"bytes","sha256"}.
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';

const [mode, host, port, bytes] = process.argv.slice(2);
const hash = createHash('sha256');
let total = 0;
const count = (chunk) => {
  hash.update(chunk);
  total += chunk.length;
};
const report = () => console.log(JSON.stringify({ bytes: total, sha256: hash.digest('hex') }));

if (mode === 'serve') {
  const server = createServer((socket) => {
    socket.on('data', count).on('end', () => {
      report();
      socket.end();
      server.close();
    });
  }).listen(Number(port), host, () => console.log('ready'));
} else {
  const socket = connect(Number(port), host);
  const block = Buffer.alloc(1 << 16, (i) => i);
  const more = () => {
    while (total < Number(bytes)) {
      block.writeUInt32BE(total);
      const piece = Buffer.from(block.subarray(0, Math.min(block.length, Number(bytes) - total)));
      count(piece);
      if (!socket.write(piece)) return socket.once('drain', more);
    }
    socket.end();
  };
  socket.on('connect', more).on('close', report).resume();
}
