/** The 802.1Q tag that the kernel takes out of a frame and tells beside it (struct tpacket_auxdata, tpacket2_hdr). */
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;
const ETH_P_8021Q = 0x8100;

/** TPID << 16 | TCI; -1 where there was none. @param status tp_status @param words tp_vlan_tci, tp_vlan_tpid in one */
export function strippedTag(status: number, words: number): number {
  if ((status & TP_STATUS_VLAN_VALID) === 0) return -1;
  const tpid = (status & TP_STATUS_VLAN_TPID_VALID) === 0 ? ETH_P_8021Q : words >>> 16;
  return tpid * 0x10000 + (words & 0xffff);
}
