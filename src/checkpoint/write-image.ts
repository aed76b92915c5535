/** Turning a mark and what belongs to it into a committed image. */
import { isDmtcp, type NetworkDefinition } from '../definition/index.js';
import { VERSION } from '../version.js';
import {
  definedPorts,
  FORMAT,
  FORMAT_VERSION,
  INFLIGHT_FILE,
  writeInflight,
  type CommittedImage,
  type GuestRecord,
  type ImageDraft,
  type ManifestBody,
} from '../image/index.js';
import type { Mark } from '../network/index.js';
import { NO_STEP, type Step } from './journal.js';

const inHex = (nonce: Uint8Array): string => Buffer.from(nonce).toString('hex');

export interface ImageParts {
  /** Random, see Manifest. */
  readonly checkpointId: string;
  readonly definition: NetworkDefinition;
  readonly mark: Mark;
  readonly guests: Readonly<Record<string, GuestRecord>>;
  readonly measured: Pick<ManifestBody, 'phases' | 'pauseMs' | 'skewMs'>;
}

/**
 * Writes the in-flight frames and commits. The draft is gone afterwards, one way or the other.
 * @throws StillwireError COMMIT_FAILED
 */
export async function writeImage(
  draft: ImageDraft,
  { checkpointId, definition, mark, guests, measured }: ImageParts,
  before: Step = NO_STEP,
): Promise<CommittedImage> {
  await before('frames');
  const ports = [...definedPorts(definition).keys()];
  const frames = await mark.frames();
  await draft.write(INFLIGHT_FILE, (path) => writeInflight(path, { checkpointId, ports, frames }));
  await before('commit');
  const body: ManifestBody = {
    format: FORMAT,
    formatVersion: FORMAT_VERSION,
    requires: ['inflight-pcapng', ...kindsOf(definition, guests)],
    checkpointId,
    name: draft.name,
    takenAt: mark.takenAt.toISOString(),
    stillwireVersion: VERSION,
    definition,
    guests,
    method: mark.method,
    proven: mark.proven,
    evidence: mark.evidence,
    ledger: mark.ledger,
    stations: mark.stations,
    inFlightFrames: mark.frameCount,
    sentinels: mark.nonces.map(inHex),
    cookies: mark.cookies.map(inHex),
    addresses: mark.addresses,
    ...measured,
  };
  return draft.commit(body, () => before('rename'));
}

/** What a restart has to understand of the guests' states. */
function kindsOf(definition: NetworkDefinition, guests: ImageParts['guests']): string[] {
  const saved = Object.entries(guests).filter(([, { state }]) => state !== undefined);
  const kinds = saved.map(([name]) => {
    const guest = definition.guests[name];
    return guest !== undefined && isDmtcp(guest) ? 'dmtcp-image' : 'qemu-migration-stream';
  });
  return [...new Set(kinds)].sort();
}
