/** The learning switch of a network, its ledger, and its thread. */
export { SwitchHandle } from './handle.js';
export { imbalances, type PortLedger } from './ledger.js';
export type { Commands, DatagramEnds, CapturedFrame, MarkAnswer, Notice } from './protocol.js';
export type { AddressOnPort } from './markers.js';
export type { SegmentSettings } from './members.js';
export type { RecallOrder } from './recall.js';
export type { StationOnPort } from './stations.js';
export type { RawEvidence } from './switch.js';
