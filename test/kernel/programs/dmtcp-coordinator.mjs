/**
 * Stands in for dmtcp_coordinator and dmtcp_command; its first argument says which. All guests take each step before any
 * takes the next, as under DMTCP; one that has gone is not waited for.
 */
import { writeFileSync, renameSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const STEPS = ['PRESUSPEND', 'PRECHECKPOINT', 'WRITE', 'RESUME'];
const [role, ...args] = process.argv.slice(2);
const option = (name) => args[args.indexOf(name) + 1];

if (args.includes('--version')) console.log('stand-in (DMTCP) 9.9.9');
else if (role === 'coordinator') coordinate();
else command();

function command() {
  const socket = connect(Number(option('--coord-port')), option('--coord-host'));
  socket.end(`${args.includes('--checkpoint') ? 'checkpoint' : 'status'}\n`);
  socket.pipe(process.stdout);
}

function coordinate() {
  const guests = new Map(); // each with what it is waited for with
  let busy = false;

  async function checkpoint() {
    busy = true;
    for (const step of STEPS) {
      await Promise.all(
        [...guests.keys()].map((guest) => {
          const done = new Promise((resolve) => guests.set(guest, resolve));
          guest.write(`${step}\n`);
          return done;
        }),
      );
    }
    busy = false;
  }

  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('close', () => {
      guests.get(socket)?.();
      if (guests.delete(socket) && guests.size === 0 && args.includes('--exit-on-last')) process.exit();
    });
    createInterface(socket).on('line', (line) => {
      if (line === 'join') guests.set(socket, undefined);
      else if (line === 'done') guests.get(socket)?.();
      else if (line === 'status') socket.end(`NUM_PEERS=${guests.size}\n`);
      else if (busy) socket.end('ERROR: not in running state\n');
      else {
        socket.end('asked\n');
        void checkpoint();
      }
    });
  });
  server.listen(Number(option('--coord-port')), '127.0.0.1', () => {
    const file = option('--port-file');
    writeFileSync(`${file}.new`, `${server.address().port}\n`);
    renameSync(`${file}.new`, file);
  });
}
