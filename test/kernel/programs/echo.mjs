// echo.mjs answer ADDRESS PORT | echo.mjs ask HOST PORT COUNT
// One datagram at a time: the next is sent when the one before has been answered. Prints {"answered"}.
import { createSocket } from 'node:dgram';

const [mode, host, port, count] = process.argv.slice(2);
const socket = createSocket('udp4');

if (mode === 'answer') {
  socket.on('message', (data, from) => socket.send(data, from.port, from.address));
  socket.bind(Number(port), host, () => console.log('ready'));
} else {
  let n = 0;
  const ask = () => {
    const data = Buffer.alloc(64);
    data.writeUInt32BE(n);
    socket.send(data, Number(port), host);
  };
  socket.on('message', (data) => {
    if (data.readUInt32BE() !== n) return;
    if (++n < Number(count)) return ask();
    console.log(JSON.stringify({ answered: n }));
    socket.close();
  });
  ask();
  console.log('ready');
}
