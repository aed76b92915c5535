/**
 * Counters in shared memory: one row of doubles per port (exact up to 2^53), written by the switch thread, read by
 * anyone at any time. They are the ledger's terms themselves, not a copy of them.
 */
import { MAX_NETWORK_PORTS } from '../definition/definition.js';
import type { PortId } from '../frame/types.js';
import { DISCARD_REASONS, DROP_REASONS, type PortLedger } from './ledger.js';

export const RECEIVED = 0;
export const RECEIVED_BYTES = 1;
export const SWITCHED = 2;
export const COPIES = 3;
export const QUEUED_SWITCHED = 4;
export const QUEUED_RESTORED = 5;
export const QUEUED_RECALLED = 6;
export const QUEUED_SENTINELS = 7;
export const QUEUED_COOKIES = 8;
export const SENT = 9;
export const SENT_BYTES = 10;
export const HELD = 11;
export const DISCARDED = 12;
export const DROPPED = DISCARDED + DISCARD_REASONS.length;
const ROW = DROPPED + DROP_REASONS.length;

/** Rows; a network has no more ports in its life than this. */
export const MAX_PORTS = MAX_NETWORK_PORTS;

export const counterMemory = (): SharedArrayBuffer =>
  new SharedArrayBuffer(MAX_PORTS * ROW * Float64Array.BYTES_PER_ELEMENT);

/** The row of port number `port`. */
export const counterRow = (memory: SharedArrayBuffer, port: number): Float64Array =>
  new Float64Array(memory, port * ROW * Float64Array.BYTES_PER_ELEMENT, ROW);

function reasons<R extends string>(row: Float64Array, base: number, names: readonly R[]): Record<R, number> {
  return Object.fromEntries(names.map((name, i) => [name, row[base + i]!])) as Record<R, number>;
}

/** A row as the ledger shows it. */
export function readLedger(port: PortId, row: Float64Array): PortLedger {
  return {
    port,
    ingress: {
      received: row[RECEIVED]!,
      bytes: row[RECEIVED_BYTES]!,
      switched: row[SWITCHED]!,
      copies: row[COPIES]!,
      discarded: reasons(row, DISCARDED, DISCARD_REASONS),
    },
    egress: {
      switched: row[QUEUED_SWITCHED]!,
      restored: row[QUEUED_RESTORED]!,
      recalled: row[QUEUED_RECALLED]!,
      sentinels: row[QUEUED_SENTINELS]!,
      cookies: row[QUEUED_COOKIES]!,
      sent: row[SENT]!,
      bytes: row[SENT_BYTES]!,
      held: row[HELD]!,
      dropped: reasons(row, DROPPED, DROP_REASONS),
    },
  };
}
