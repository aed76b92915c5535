// A daemon to be killed: a network of three guests with a hold file. It holds, sends numbered frames from guest a to all,
// and goes as far as it is told: `arriving` (frames still come), `held`, `marked`, `releasing`. Says "ready" there.
// Arguments: build, network, hold file, where to stop, frames, output of b's reader, output of c's.
import { spawn } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const [build, name, holdFile, stage, count, slowOutput, fastOutput] = process.argv.slice(2);
const { Network } = await import(`${build}/network/index.js`);

const guest = { nics: [{ name: 'nic0', segment: 'lan', mac: '', mtu: 1500 }] };
const network = await Network.open(
  {
    network: name,
    segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
    guests: { a: guest, b: guest, c: guest },
    ports: {},
  },
  { holdFile },
);

const readers = Object.entries({ b: [slowOutput, 40, 1], c: [fastOutput, 500, 0] }).map(
  ([id, [output, ...pace]]) => {
    const program = new URL('tap-reader.mjs', import.meta.url).pathname;
    const stdio = ['ignore', openSync(output, 'a'), 'inherit', network.tapFd(`${id}/nic0`)];
    const reader = spawn(process.execPath, [program, ...pace.map(String)], { stdio, detached: true });
    return reader.pid;
  },
);

const frame = Buffer.alloc(10 + 600);
frame.fill(0xff, 10, 16);
frame.set([2, 0, 0, 0, 0, 1], 16);
frame.writeUInt16BE(0x88b6, 22);
function send(number) {
  frame.writeUInt32BE(number, 24);
  writeSync(network.tapFd('a/nic0'), frame);
}
const received = async () => (await network.ledger()).ports[0].ingress.received;

const ready = () => console.log(`ready ${JSON.stringify(readers)}`);
const hold = await network.holdAsIs({ leaseMs: 60_000 });
for (let n = 1; n <= Number(count); n++) {
  send(n);
  if (n % 100 === 0) await sleep(1);
  if (stage === 'arriving' && n === 1000) {
    while ((await received()) === 0) await sleep(1);
    ready();
  }
}
while ((await received()) < Number(count)) await sleep(5);
if (stage === 'marked') await (await hold.mark()).frames();
if (stage === 'releasing') await hold.release();
if (stage !== 'arriving') ready();
await sleep(60_000);
