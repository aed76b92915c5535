/** `show`: what a stored checkpoint says about itself. */
import { readManifest, type Manifest } from '../image/index.js';
import { judge, type PortEvidence } from '../quiesce/evidence.js';
import { imbalances, type PortLedger } from '../switch/ledger.js';
import { defineCommand } from './command.js';
import { bytes, counted, facts, instant, milliseconds, table } from './format.js';
import { find } from './places.js';

const total = (terms: Readonly<Record<string, number>>): number =>
  Object.values(terms).reduce((sum, term) => sum + term, 0);

function describeHead(manifest: Manifest, path: string): string {
  const { takenAt, stillwireVersion, method, proven, pauseMs, skewMs, inFlightFrames, files } = manifest;
  const resumed = skewMs?.resume === undefined ? '' : `, resumes ${milliseconds(skewMs.resume)} apart`;
  const skew = skewMs && `stops ${milliseconds(skewMs.stop)} apart${resumed}`;
  const phases = Object.entries(manifest.phases)
    .map(([name, ms]) => `${name} ${milliseconds(ms)}`)
    .join(', ');
  return facts([
    ['taken', `${instant(takenAt)} by Stillwire ${stillwireVersion}`],
    ['path', path],
    ['method', `${method}, ${proven ? 'proven' : 'not proven'}`],
    ['in flight', counted(inFlightFrames, 'frame')],
    ['pause', pauseMs === undefined ? undefined : milliseconds(pauseMs)],
    ['skew', skew],
    ['phases', phases === '' ? undefined : phases],
    [
      'size',
      `${bytes(files.reduce((sum, file) => sum + file.bytes, 0))} in ${counted(files.length, 'file')}`,
    ],
  ]);
}

function describeGuests({ guests, files }: Manifest): string {
  const sizes = new Map(files.map(({ path, bytes: size }) => [path, size]));
  const rows = Object.entries(guests).map(([name, { runState, identity, state, disksUnmanaged }]) => [
    name,
    runState,
    identity && `${identity.kind} ${identity.version}`,
    identity && `${identity.machine}, ${identity.cpu}, ${identity.memory} MiB`,
    bytes((state === undefined ? undefined : sizes.get(state)) ?? 0),
    disksUnmanaged ? 'unmanaged' : 'none written',
  ]);
  return rows.length === 0
    ? 'no guests: this is a mark'
    : table(['GUEST', 'RAN', 'PROGRAM', 'MACHINE', 'STATE', 'DISKS'], rows);
}

/** What was observed, in the order it was observed in. */
function describeEvidence({ kind, method, down, up }: PortEvidence): string {
  if (kind === 'external') return 'leads out of the cut';
  if (method === 'cookie') {
    return `cookie ${down.cookie}; ${up.receivedFrames} taken in${up.queueEmpty ? '' : ', more arriving'}`;
  }
  const sentinel = down.sentinelSent ? 'sentinel sent' : 'no sentinel';
  const ring = down.ringEmpty ? 'ring empty' : 'ring not empty';
  const swept = `${up.receivedFrames} of ${up.deviceFrames} taken in${up.queueEmpty ? '' : ', more arriving'}`;
  const losses = `${down.droppedSinceHold + up.socketDrops} dropped`;
  return `${sentinel}, ${ring}, ${bytes(down.sendQueueBytes)} unsent; ${swept}; ${losses}`;
}

function describePorts({ evidence, ledger }: Manifest): string {
  const held = new Map(ledger.map(({ port, egress }) => [port, egress.held]));
  const rows = evidence.map((each) => {
    const { port, proven, reason } = judge(each);
    const verdict = proven ? 'yes' : 'no';
    return [port, each.kind, held.get(port), each.method, verdict, reason ?? describeEvidence(each)];
  });
  return table(['PORT', 'KIND', 'IN FLIGHT', 'METHOD', 'PROVEN', 'EVIDENCE'], rows);
}

/** The ledger's equations, with their terms under them, and whether they come out. */
function describeLedger(ledger: readonly PortLedger[]): string {
  const rows = ledger.map(({ port, ingress, egress }) => [
    port,
    ingress.received,
    ingress.switched,
    total(ingress.discarded),
    egress.switched,
    egress.restored,
    egress.recalled,
    egress.sentinels + egress.cookies,
    egress.sent,
    egress.held,
    total(egress.dropped),
  ]);
  const heads = [
    ...['PORT', 'RECEIVED', '= SWITCHED', '+ DISCARDED'],
    ...['QUEUED', '+ RESTORED', '+ RECALLED', '+ MARKERS', '= SENT', '+ HELD', '+ DROPPED'],
  ];
  const faults = imbalances(ledger);
  const verdict = faults.length === 0 ? 'every frame is accounted for' : faults.join('\n');
  return `${table(heads, rows)}\n${verdict}`;
}

export function describeManifest(manifest: Manifest, path: string): string {
  return [
    `checkpoint ${manifest.name} of network ${manifest.definition.network}\n${describeHead(manifest, path)}`,
    describeGuests(manifest),
    describePorts(manifest),
    describeLedger(manifest.ledger),
  ].join('\n\n');
}

export const show = defineCommand({
  usage: 'show <checkpoint>',
  group: 'checkpoint',
  summary: 'when and how it was taken, with the evidence of each port',
  description: `What the manifest says; IN FLIGHT counts the frames that were on their way to the port. The other files are not
read: that is what verify does.`,
  async run(session, [name = '']) {
    const { path } = await find(session, name);
    const manifest = await readManifest(path);
    await session.document({ path, manifest }, () => describeManifest(manifest, path));
    return undefined;
  },
});
