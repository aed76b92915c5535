/**
 * The ledger: every frame that enters or leaves a port is counted where it happens, no term by subtraction, so that
 * a lost or doubled frame shows as a sum that does not come out.
 *
 *   ingress of a port:  received = switched + discarded(reason)
 *   egress of a port:   switched + restored + recalled + sentinels + cookies = sent + held + dropped(reason)
 *   the switch itself:  copies made of switched frames = copies queued, summed over all ports
 */
import type { PortId } from '../frame/types.js';

/**
 * Why a received frame went no further: too short or from a group address; not of the port's VLAN; reserved multicast
 * on a segment that drops it; one of our own
 * sentinels or cookies come back, or an answer to one; nobody else to send it to.
 */
export const DISCARD_REASONS = ['malformed', 'vlan', 'reserved', 'swallowed', 'nowhere'] as const;
export type DiscardReason = (typeof DISCARD_REASONS)[number];

/**
 * Why a copy queued for a port was not sent: queue full outside a hold; refused by the kernel; over the port's MTU; port
 * removed; a copy of what its hypervisor had taken and not delivered, and did keep (see recalled.ts); its virtio-net header
 * asks for what cannot be done (to a port of plain frames).
 */
export const DROP_REASONS = ['queueFull', 'refused', 'oversize', 'portGone', 'withGuest', 'offload'] as const;
export type DropReason = (typeof DROP_REASONS)[number];

export interface PortLedger {
  readonly port: PortId;
  readonly ingress: {
    readonly received: number;
    readonly bytes: number;
    readonly switched: number;
    /** Copies made of the switched frames, one per destination. */
    readonly copies: number;
    readonly discarded: Readonly<Record<DiscardReason, number>>;
  };
  readonly egress: {
    readonly switched: number;
    readonly restored: number;
    /** Taken back out of the ring of a guest that did not read them; each had been sent once before. */
    readonly recalled: number;
    readonly sentinels: number;
    readonly cookies: number;
    readonly sent: number;
    readonly bytes: number;
    /** Copies waiting in the port's queue now. */
    readonly held: number;
    readonly dropped: Readonly<Record<DropReason, number>>;
  };
}

const sum = (terms: Readonly<Record<string, number>>): number =>
  Object.values(terms).reduce((a, b) => a + b, 0);

/** Every way in which the ledger does not come out, as sentences with the figures; empty when it balances. */
export function imbalances(ledger: readonly PortLedger[]): string[] {
  const faults: string[] = [];
  let made = 0;
  let queued = 0;
  for (const { port, ingress, egress } of ledger) {
    const discarded = sum(ingress.discarded);
    if (ingress.received !== ingress.switched + discarded) {
      faults.push(
        `${port} in: received ${ingress.received} ≠ switched ${ingress.switched} + discarded ${discarded}`,
      );
    }
    const dropped = sum(egress.dropped);
    const entered = egress.switched + egress.restored + egress.recalled + egress.sentinels + egress.cookies;
    if (entered !== egress.sent + egress.held + dropped) {
      faults.push(
        `${port} out: queued ${entered} ≠ sent ${egress.sent} + held ${egress.held} + dropped ${dropped}`,
      );
    }
    made += ingress.copies;
    queued += egress.switched;
  }
  if (made !== queued) faults.push(`switch: ${made} copies made ≠ ${queued} copies queued`);
  return faults;
}
