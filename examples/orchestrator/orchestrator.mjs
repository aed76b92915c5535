// @ts-check
/**
 * An orchestrator of its own machines, with Stillwire for the network between them.
 *
 *   round 1, in place     hold → stop → mark → resume → release → save the image
 *   round 2, destroyed    hold → stop → mark → save the image → close the network; its devices are gone
 *                         restore → furnish the namespaces → resume → release
 *   round 3, a lease      nobody releases in time: the hold ends by itself, mark is refused, traffic flows
 *
 * Usage: orchestrator.mjs [--forget-frames]    (round 2 opens an empty network instead: must find losses, exit 1)
 */
import { strict as assert } from 'node:assert';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  define,
  describeFrame,
  open,
  openImage,
  restore,
  save,
  StillwireError,
  verifyImage,
} from 'stillwire';
import { ip, Machine } from './machine.mjs';
import { judge } from './judgement.mjs';

const forgetFrames = process.argv.includes('--forget-frames');
/** Distinguishes this run's namespaces from those of any other. */
const run = process.env.ORCHESTRA_RUN ?? String(process.pid);
const GROUP = '239.77.0.1';
const BROADCAST = '10.77.0.255';
/** Frames that each machine is to have sent into the held network before it is stopped. */
const FEWEST_IN_FLIGHT = 20;

const say = (/** @type {string} */ words) => console.log(words);
const everyone = (/** @type {(machine: Machine) => Promise<unknown>} */ work) =>
  Promise.all(machines.map(work));

const machines = ['ann', 'bob', 'cat'].map((name, i) => {
  const number = i + 1;
  const station = { number, address4: `10.77.0.${number}`, address6: `fd77::${number}` };
  return new Machine(name, `orchestra-${run}-${name}`, station);
});

const ports = machines.map(({ name, namespace, station: { address4, address6 } }) => {
  const addresses = [`${address4}/24`, `${address6}/64`];
  return [name, { kind: 'device', segment: 'lan', device: 'eth0', netns: namespace, addresses }];
});
const definition = define({
  network: `orchestra-${run}`,
  segments: { lan: {} },
  ports: Object.fromEntries(ports),
});

/** @param {Machine} machine */
function neighboursOf(machine) {
  const others = machines.filter((other) => other !== machine);
  return others.flatMap(({ name, station: { address4, address6 } }) => {
    const port = definition.ports[name];
    assert(port?.kind === 'device' && port.mac !== undefined);
    const { mac } = port;
    return [address4, address6].map((address) => ({ address, mac }));
  });
}

const furnish = () => everyone((machine) => machine.furnish(GROUP, neighboursOf(machine)));
const devices = () => Promise.all(machines.map((machine) => machine.device()));

/** Frames that have come in from each machine. @param {import('stillwire').Network} network */
const receivedFrom = async (network) => (await network.ledger()).ports.map(({ ingress }) => ingress.received);

/** Hold, and stop everybody a little later, in mid-flow. @param {import('stillwire').Network} network */
async function stopInMidFlow(network) {
  const hold = await network.hold({ leaseMs: 20_000 });
  const atHold = await receivedFrom(network);
  const isEnough = (/** @type {number} */ count, /** @type {number} */ i) =>
    count - (atHold[i] ?? 0) >= FEWEST_IN_FLIGHT;
  while (!(await receivedFrom(network)).every(isEnough)) await sleep(1);
  await everyone((machine) => machine.stop());
  const mark = await hold.mark();
  return { hold, mark };
}

/** Looks into an image as anybody can who finds it. @param {import('stillwire').ImageReport} report */
async function examine({ path, name, ports }) {
  const { faults, proven, inFlightFrames } = await verifyImage(path);
  assert.deepEqual(faults, [], `image ${name} is sound`);
  assert.deepEqual(
    ports.filter((port) => !port.proven),
    [],
    'nothing speaks against the cut',
  );
  assert.equal(proven, true, 'nor does it when the evidence is judged again');
  const frames = await (await openImage(path)).frames();
  assert.equal(frames.length, inFlightFrames);
  for (const machine of machines) {
    const own = frames.filter(({ ingress }) => ingress === machine.name).length;
    assert(own >= FEWEST_IN_FLIGHT, `only ${own} frames of ${machine.name} were in flight`);
  }
  say(`  image ${name}: sound, cut proven, ${frames.length} frames in flight, such as`);
  const samples = new Map(
    frames.filter(({ ingress }) => ingress === 'ann').map((frame) => [addressesOf(frame), frame]),
  );
  for (const { destinations, bytes, vnet } of samples.values()) {
    say(`    to ${destinations.join(', ')}: ${describeFrame(bytes, vnet)}`);
  }
}

/** MAC addresses and EtherType, as a key. @param {import('stillwire').InflightFrame} frame */
const addressesOf = ({ bytes }) => Buffer.from(bytes.subarray(0, 14)).toString('hex');

/** @param {import('stillwire').Network} network @param {string} directory */
async function inPlace(network, directory) {
  const began = performance.now();
  const { hold, mark } = await stopInMidFlow(network);
  // Here a real orchestrator saves its machines. Ours are saved by being stopped.
  await everyone((machine) => machine.resume());
  await hold.release();
  say(`in place: held for ${Math.round(performance.now() - began)} ms`);
  await examine(await save(network, mark, { name: 'in-place', directory }));
}

/** @param {import('stillwire').Network} network @param {string} directory */
async function destroyed(network, directory) {
  const { mark } = await stopInMidFlow(network);
  const before = await devices();
  const report = await save(network, mark, { name: 'destroyed', directory });
  await network.close();
  assert.deepEqual(await devices(), [undefined, undefined, undefined], 'every device is gone');
  assert(!(await ip('netns', 'list')).includes(network.namespace), 'the namespace of the network is gone');
  say('destroyed: the network is closed; its namespace and all three devices are gone');
  await examine(report);

  if (forgetFrames) {
    live = await open(definition);
    await furnish();
    await everyone((machine) => machine.resume());
    return live;
  }
  const restored = await restore({ directory: report.path });
  live = restored.network;
  assert.equal(restored.report.reinjectedFrames, report.inFlightFrames);
  assert.deepEqual(await devices(), before.map(withoutGroup), 'MAC and addresses are those of before');
  await furnish();
  await everyone((machine) => machine.resume());
  await restored.hold.release();
  say(`restored: same MACs and addresses, ${report.inFlightFrames} frames put back`);
  return live;
}

/** A device as the definition alone gives it. @param {Awaited<ReturnType<Machine['device']>>} device */
const withoutGroup = (device) =>
  device && {
    ...device,
    addresses: device.addresses.filter((/** @type {string} */ own) => own !== `${GROUP}/32`),
  };

const receivedSoFar = async () => {
  const reports = await Promise.all(machines.map((machine) => machine.ask('report')));
  return reports.map(({ received }) => received.reduce((sum, { distinct }) => sum + distinct, 0));
};

/** @param {import('stillwire').Network} network @param {string} directory */
async function leaseRunsOut(network, directory) {
  const hold = await network.hold({ leaseMs: 150 });
  const mark = await hold.mark();
  await sleep(300);
  await assert.rejects(hold.mark(), hasExpired);
  await assert.rejects(save(network, mark, { name: 'too-late', directory }), hasExpired);
  const before = await receivedSoFar();
  await sleep(300);
  const after = await receivedSoFar();
  assert(
    after.every((count, i) => count > (before[i] ?? 0)),
    'traffic flows again',
  );
  say('a lease that ran out: mark and save were refused with HOLD_EXPIRED, and traffic flows');
}

/** @param {unknown} error */
const hasExpired = (error) => error instanceof StillwireError && error.code === 'HOLD_EXPIRED';

/** Ends the exchange: nobody sends any more, and what is on its way arrives. */
async function finish() {
  await everyone((machine) => machine.ask('finish'));
  let before = await receivedSoFar();
  for (let calm = 0; calm < 3; calm++) {
    await sleep(150);
    const now = await receivedSoFar();
    if (String(now) !== String(before)) calm = -1;
    before = now;
  }
  return Promise.all(
    machines.map(async (machine) => {
      const { name, station } = machine;
      return { name, number: station.number, report: await machine.ask('report') };
    }),
  );
}

/** @type {import('stillwire').Network | undefined} */
let live;
const directory = await mkdtemp(join(tmpdir(), 'orchestra-'));

async function cleanUp() {
  await live?.close();
  await everyone((machine) => machine.end());
  await rm(directory, { recursive: true, force: true });
}
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.once(signal, () => void cleanUp().finally(() => process.exit(1)));
}

try {
  await everyone((machine) => machine.makeNamespace());
  live = await open(definition);
  await furnish();
  await everyone((machine) => {
    const peers = machines.filter((other) => other !== machine).map(({ station }) => station);
    return machine.start({ me: machine.station, peers, group: GROUP, broadcast: BROADCAST });
  });
  await everyone((machine) => machine.ask('start'));
  await sleep(1500);
  await inPlace(live, directory);
  await sleep(1500);
  const restored = await destroyed(live, directory);
  await sleep(1500);
  await leaseRunsOut(restored, directory);
  await sleep(500);
  const { table, sound } = judge(await finish());
  say(table);
  process.exitCode = sound ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await cleanUp();
}
