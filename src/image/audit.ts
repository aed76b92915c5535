/**
 * What the parts of an image must say about one another. Hashes show that nothing changed since the commit; these
 * checks show that what was committed is one whole: the judgement follows from the evidence, the ledger comes out,
 * and the frames in the file are those the ledger says were held. Pure: faults as sentences, none when all agree.
 */
import { isProven } from '../quiesce/evidence.js';
import { imbalances } from '../switch/ledger.js';
import type { InflightCapture } from './inflight.js';
import { INFLIGHT_FILE, definedPorts } from './manifest.js';
import type { DefinedPorts, Manifest } from './manifest.js';

/** Each expected port exactly once, and no other; the port of an ended guest may be missing. */
function portFaults(
  what: string,
  named: readonly string[],
  ports: DefinedPorts,
  optional: (port: string) => boolean,
): string[] {
  const seen = new Set<string>();
  const faults: string[] = [];
  for (const port of named) {
    if (!ports.has(port)) faults.push(`${what}: ${port} is not a port of the network`);
    else if (seen.has(port)) faults.push(`${what}: ${port} twice`);
    seen.add(port);
  }
  for (const port of ports.keys()) {
    if (!seen.has(port) && !optional(port)) faults.push(`${what}: nothing about ${port}`);
  }
  return faults;
}

/** The judgement on the cut, drawn again. Evidence of a kind or method that proves more easily is not let in. */
function proofFaults({ evidence, method, proven }: Manifest, ports: DefinedPorts): string[] {
  const faults: string[] = [];
  for (const { port, kind, method: used } of evidence) {
    const defined = ports.get(port);
    if (defined !== undefined && defined !== kind)
      faults.push(`evidence: ${port} is a ${defined} port, not ${kind}`);
    const fits = method === 'auto' ? used !== 'quiet' : used === method;
    if (!fits) faults.push(`evidence: ${port} was quiesced by ${used}, the network by ${method}`);
  }
  if (isProven(evidence) !== proven) {
    faults.push(`the manifest says proven: ${String(proven)}, the evidence says ${String(!proven)}`);
  }
  return faults;
}

function definitionFaults({ definition, stations, addresses }: Manifest, ports: DefinedPorts): string[] {
  const faults: string[] = [];
  const segments = new Set(Object.keys(definition.segments));
  const placed: [string, string][] = Object.entries(definition.ports).map(([port, { segment }]) => [
    port,
    segment,
  ]);
  for (const [guest, { nics: own }] of Object.entries(definition.guests)) {
    placed.push(...own.map(({ name, segment }): [string, string] => [`${guest}/${name}`, segment]));
  }
  if (placed.length !== ports.size) faults.push('definition: two ports have one name');
  for (const [port, segment] of placed) {
    if (!segments.has(segment))
      faults.push(`definition: ${port} is on segment ${segment}, which does not exist`);
  }
  for (const { mac, segment, port } of stations) {
    if (!segments.has(segment) || !ports.has(port)) {
      faults.push(`station ${mac}: ${segment} or ${port} does not exist`);
    }
  }
  for (const { port } of addresses) {
    if (!ports.has(port)) faults.push(`addresses: ${port} does not exist`);
  }
  return faults;
}

function guestFaults({ guests, definition, files }: Manifest): string[] {
  const faults: string[] = [];
  const known = new Set(Object.keys(definition.guests));
  const listed = new Set(files.map(({ path }) => path));
  for (const [name, { runState, state }] of Object.entries(guests)) {
    if (!known.has(name)) faults.push(`guest ${name} is not in the definition`);
    const ended = runState === 'ended';
    if (state === undefined) {
      if (!ended) faults.push(`guest ${name} was ${runState} and has no state file`);
    } else if (ended) faults.push(`guest ${name} had ended and has a state file`);
    else if (!state.startsWith(`guests/${name}/`)) faults.push(`guest ${name} has its state in ${state}`);
    else if (!listed.has(state)) faults.push(`guest ${name}: ${state} is not among the files`);
  }
  return faults;
}

/** Faults of a manifest within itself. */
export function auditManifest(manifest: Manifest): string[] {
  const ports = definedPorts(manifest.definition);
  const guests = new Map(Object.entries(manifest.guests));
  const hadEnded = (port: string): boolean => guests.get(port.split('/', 1)[0]!)?.runState === 'ended';
  return [
    ...definitionFaults(manifest, ports),
    ...portFaults(
      'evidence',
      manifest.evidence.map(({ port }) => port),
      ports,
      hadEnded,
    ),
    ...proofFaults(manifest, ports),
    ...portFaults(
      'ledger',
      manifest.ledger.map(({ port }) => port),
      ports,
      hadEnded,
    ),
    ...imbalances(manifest.ledger).map((words) => `ledger: ${words}`),
    ...guestFaults(manifest),
  ];
}

/** Faults between a manifest and its in-flight frames: counted anew from the frames, per port and altogether. */
export function auditFrames(manifest: Manifest, capture: InflightCapture): string[] {
  const faults: string[] = [];
  if (capture.checkpointId !== manifest.checkpointId) {
    faults.push(
      `${INFLIGHT_FILE} belongs to checkpoint ${capture.checkpointId}, not ${manifest.checkpointId}`,
    );
  }
  if (capture.frames.length !== manifest.inFlightFrames) {
    faults.push(
      `the manifest says ${manifest.inFlightFrames} frames in flight, ${capture.frames.length} are there`,
    );
  }
  const defined = definedPorts(manifest.definition);
  for (const port of capture.ports) {
    if (!defined.has(port)) faults.push(`${INFLIGHT_FILE}: ${port} is not a port of the network`);
  }
  const found = new Map<string, number>();
  for (const { destinations } of capture.frames) {
    for (const port of destinations) found.set(port, (found.get(port) ?? 0) + 1);
  }
  for (const { port, egress } of manifest.ledger) {
    const there = found.get(port) ?? 0;
    if (there !== egress.held)
      faults.push(`${port}: the ledger holds ${egress.held} frames, ${there} are there`);
    found.delete(port);
  }
  for (const [port, there] of found) faults.push(`${port}: ${there} frames are there, none in the ledger`);
  return faults;
}
