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
import { define, describeFrame, open, openImage, restore, save, StillwireError, verifyImage } from 'stillwire';
import { ip, Machine } from './machine.mjs';
import { judge } from './judgement.mjs';

const forgetFrames = process.argv.includes('--forget-frames');
/** Distinguishes this run's namespaces from those of any other. */
const run = process.env.STILLWIRE_RUN ?? String(process.pid);
const GROUP = '239.77.0.1';
const BROADCAST = '10.77.0.255';
/** For how long the machines go on sending into a network that is held already. */
const SEND_INTO_HOLD_MS = 20;
const FEWEST_IN_FLIGHT = 10;

const say = (/** @type {string} */ words) => console.log(words);
const everyone = (/** @type {(machine: Machine) => Promise<unknown>} */ work) => Promise.all(machines.map(work));

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

/** Hold, and stop everybody a little later, in mid-flow. @param {import('stillwire').Network} network */
async function stopInMidFlow(network) {
  const hold = await network.hold({ leaseMs: 20_000 });
  await sleep(SEND_INTO_HOLD_MS);
  await everyone((machine) => machine.stop());
  const mark = await hold.mark();
  return { hold, mark };
}

/** Looks into an image as anybody can who finds it. @param {import('stillwire').ImageReport} report */
async function examine({ path, name }) {
  const { faults, proven, inFlightFrames } = await verifyImage(path);
  assert.deepEqual(faults, [], `image ${name} is sound`);
  assert.equal(proven, true, `the cut of ${name} is proven`);
  const frames = await (await openImage(path)).frames();
  assert.equal(frames.length, inFlightFrames);
  for (const { station, name: sender } of machines) {
    const own = frames.filter(({ ingress }) => ingress === sender).length;
    assert(own >= FEWEST_IN_FLIGHT, `only ${own} frames of ${sender} (${station.address4}) were in flight`);
  }
  say(`  image ${name}: sound, cut proven, ${frames.length} frames in flight, among them`);
  for (const { ingress, destinations, bytes, vnet } of frames.slice(0, 4)) {
    say(`    ${ingress} → ${destinations.join(', ')}: ${describeFrame(bytes, vnet)}`);
  }
}

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
    const empty = await open(definition);
    await furnish();
    await everyone((machine) => machine.resume());
    return empty;
  }
  const restored = await restore({ directory: report.path });
  live = restored.network;
  assert.equal(restored.report.reinjectedFrames, report.inFlightFrames);
  assert.deepEqual(await devices(), before.map(withoutGroup), 'MAC and addresses are those of before');
  await furnish();
  await everyone((machine) => machine.resume());
  await restored.hold.release();
  say(`restored: same MACs and addresses, ${report.inFlightFrames} frames put back`);
  return restored.network;
}

/** A device as the definition alone gives it. @param {Awaited<ReturnType<Machine['device']>>} device */
const withoutGroup = (device) =>
  device && { ...device, addresses: device.addresses.filter((/** @type {string} */ own) => own !== `${GROUP}/32`) };

const receivedSoFar = async () => {
  const reports = await Promise.all(machines.map((machine) => machine.ask('report')));
  return reports.map(({ received }) => received.reduce((sum, { distinct }) => sum + distinct, 0));
};

/** @param {import('stillwire').Network} network */
async function leaseRunsOut(network) {
  const hold = await network.hold({ leaseMs: 150 });
  await sleep(300);
  await assert.rejects(hold.mark(), (error) => error instanceof StillwireError && error.code === 'HOLD_EXPIRED');
  const before = await receivedSoFar();
  await sleep(300);
  const after = await receivedSoFar();
  assert(after.every((count, i) => count > (before[i] ?? 0)), 'traffic flows again');
  say('a lease that ran out: mark was refused with HOLD_EXPIRED, and traffic flows');
}

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
  return Promise.all(machines.map(async ({ name, station, ...machine }, i) => {
    const report = await machines[i]?.ask('report');
    assert(report !== undefined, machine.namespace);
    return { name, number: station.number, report };
  }));
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
  live = await destroyed(live, directory);
  await sleep(1500);
  await leaseRunsOut(live);
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
