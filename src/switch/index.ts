/** The learning switch of a network, its hold queues and its ledger. */
export { SwitchHandle } from './handle.js';
export { recoverHeld } from './hold-recover.js';
export { imbalances, type PortLedger } from './ledger.js';
export type { Commands, DatagramEnds, CapturedFrame, MarkAnswer, Notice } from './protocol.js';
export type { AddressOnPort, RawEvidence, RecallOrder, StationOnPort, SegmentSettings } from './switch.js';
