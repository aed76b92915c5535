/** The 802.1Q tag of a frame that lies at `start`. */
import { u16 } from '../frame/bytes.js';
import { ETHERTYPE } from '../frame/ethernet.js';

/** Reserved by IEEE 802.1Q, never on a wire. */
export const RESERVED_VLAN = 0x0fff;

export const isTagged = (bytes: Buffer, start: number): boolean => u16(bytes, start + 12) === ETHERTYPE.vlan;

/** Of a frame that {@link isTagged}; 0 for one that has a priority only. */
export const vlanIn = (bytes: Buffer, start: number): number => u16(bytes, start + 14) & 0x0fff;

/** Where the EtherType lies: behind the addresses, or behind the tag. */
export const typeOffset = (start: number, tagged: boolean): number => start + (tagged ? 16 : 12);

/** TPID and TCI. */
export const tagOf = (vlan: number): number => ETHERTYPE.vlan * 0x10000 + vlan;
