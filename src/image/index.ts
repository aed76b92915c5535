/** The image room: the checkpoint on disk. Written by a draft, verified before use, kept in a store. */
export {
  CHECKSUM_FILE,
  FORMAT,
  FORMAT_VERSION,
  INFLIGHT_FILE,
  KNOWN_FEATURES,
  MANIFEST_FILE,
  definedPorts,
  isImagePath,
  isName,
} from './manifest.js';
export type { GuestRecord, Manifest, ManifestBody, ManifestFile, StationRecord } from './manifest.js';
export { manifestSchema } from './manifest-schema.js';
export { decodeInflight, encodeInflight, writeInflight } from './inflight.js';
export type { InflightCapture } from './inflight.js';
export { ImageDraft } from './draft.js';
export type { CommittedImage } from './draft.js';
export { sweepPartials } from './partial.js';
export { readManifest } from './read.js';
export { openImage, verifyImage } from './verify.js';
export type { Image, VerifyReport } from './verify.js';
export {
  checkpointsDirectory,
  defaultName,
  findCheckpoint,
  listCheckpoints,
  removeCheckpoint,
  stateDirectory,
} from './store.js';
export type { CheckpointSummary } from './store.js';
