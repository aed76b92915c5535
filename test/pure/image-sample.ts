/** A small, sound checkpoint for the image tests: two guests, an external port, a few frames in flight. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { InflightFrame } from '../../src/frame/types.js';
import { ImageDraft, INFLIGHT_FILE, writeInflight } from '../../src/image/index.js';
import type { InflightCapture, ManifestBody } from '../../src/image/index.js';
import type { GuestDefinition, NetworkDefinition } from '../../src/definition/definition.js';
import type { PortEvidence } from '../../src/quiesce/evidence.js';
import { DISCARD_REASONS, DROP_REASONS } from '../../src/switch/ledger.js';
import type { PortLedger } from '../../src/switch/ledger.js';

const made: string[] = [];
afterEach(async () => {
  for (const directory of made.splice(0)) await rm(directory, { recursive: true, force: true });
});

/** A directory of the test's own, removed after it. */
export async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'stillwire-image-'));
  made.push(directory);
  return directory;
}

export const CHECKPOINT_ID = '0b8f6c1e-7a4d-4f0e-9d55-2a63c1c0ffee';

function guest(last: string): GuestDefinition {
  return {
    qemu: '/usr/bin/qemu-system-x86_64',
    accel: 'tcg',
    machine: 'pc-q35-7.2',
    cpus: 1,
    memory: 128,
    args: [],
    nics: [
      { name: 'nic0', segment: 'lan', mac: `52:54:00:00:00:${last}`, mtu: 1500, model: 'virtio-net-pci' },
    ],
  };
}

export const definition: NetworkDefinition = {
  network: 'lab',
  segments: { lan: { reservedMulticast: 'forward', ageingSeconds: 300 } },
  guests: { a: guest('0a'), b: guest('0b') },
  ports: {
    host: { kind: 'external', segment: 'lan', device: 'lab0', addresses: ['10.0.0.1/24'], mtu: 1500 },
  },
};
export const PORTS = ['a/nic0', 'b/nic0', 'host'];

const evidence = (port: string): PortEvidence => ({
  port,
  kind: port === 'host' ? 'external' : 'tap',
  method: 'count',
  down: {
    sentinelSent: true,
    ringEmpty: true,
    sendQueueBytes: 0,
    droppedSinceHold: 0,
    cookie: 'unasked',
    recalled: 0,
  },
  up: { deviceFrames: 40, receivedFrames: 40, socketDrops: 0, queueEmpty: true, mayHaveOverrun: false },
});

const none = <R extends string>(reasons: readonly R[]): Record<R, number> =>
  Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<R, number>;

/** Balanced: every port received 40 frames, made one copy of each; `held` of those queued are not sent yet. */
const ledger = (port: string, held: number): PortLedger => ({
  port,
  ingress: {
    received: 40,
    bytes: 4000,
    switched: 40,
    copies: 40,
    discarded: none(DISCARD_REASONS),
  },
  egress: {
    switched: 40,
    restored: 0,
    recalled: 0,
    sentinels: 0,
    cookies: 0,
    sent: 40 - held,
    bytes: 4000,
    held,
    dropped: none(DROP_REASONS),
  },
});

export function frame(sequence: number, ingress: string, destinations: string[], size = 60): InflightFrame {
  const bytes = new Uint8Array(size).fill(sequence & 0xff);
  bytes.set([0x52, 0x54, 0, 0, 0, 0x0b, 0x52, 0x54, 0, 0, 0, 0x0a, 0x08, 0x00]);
  return {
    sequence,
    timeNs: 1_700_000_000_000_000_000n + BigInt(sequence),
    ingress,
    destinations,
    vnet: new Uint8Array(10).fill(sequence & 0x0f),
    bytes,
  };
}

export const frames: InflightFrame[] = [
  frame(7, 'a/nic0', ['b/nic0']),
  frame(8, 'a/nic0', ['b/nic0', 'host'], 1514),
  frame(12, 'host', ['a/nic0']),
];
export const capture: InflightCapture = { checkpointId: CHECKPOINT_ID, ports: PORTS, frames };

export function body(name: string): ManifestBody {
  return {
    format: 'stillwire-checkpoint',
    formatVersion: 2,
    requires: ['inflight-pcapng', 'qemu-migration-stream'],
    checkpointId: CHECKPOINT_ID,
    name,
    takenAt: '2025-03-04T05:06:07.089Z',
    stillwireVersion: '0.1.0',
    definition,
    guests: {
      a: { runState: 'running', state: 'guests/a/state.qemu', disksUnmanaged: false },
      b: { runState: 'ended', disksUnmanaged: false },
    },
    method: 'count',
    proven: true,
    evidence: PORTS.map(evidence),
    ledger: [ledger('a/nic0', 1), ledger('b/nic0', 2), ledger('host', 1)],
    stations: [{ segment: 'lan', vlan: 0, mac: '52:54:00:00:00:0a', port: 'a/nic0' }],
    inFlightFrames: 3,
    sentinels: ['00112233445566778899aabbccddeeff'],
    cookies: [],
    addresses: [],
    phases: { hold: 0.1, drain: 1.5 },
    pauseMs: 41.5,
    skewMs: { stop: 1, resume: 2 },
  };
}

/** Writes the sample's files into a draft. */
export async function fill(draft: ImageDraft, checkpointId = CHECKPOINT_ID): Promise<void> {
  await writeInflight(draft.path(INFLIGHT_FILE), { ...capture, checkpointId });
  await writeFile(draft.path('guests/a/state.qemu'), 'QEVM state of a');
  await writeFile(draft.path('attachments/notes.txt'), 'mine');
}

/** Commits the sample, changed as wanted. @returns its directory */
export async function commitSample(
  root: string,
  name = 'one',
  change: Partial<ManifestBody> = {},
): Promise<string> {
  const draft = await ImageDraft.create(root, name);
  await fill(draft, change.checkpointId);
  const { path } = await draft.commit({ ...body(name), ...change });
  return path;
}
