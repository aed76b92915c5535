/*
 * RTM_GETSTATS gives a link's counters inside the caller's network namespace, where sysfs would show its mount's.
 * Relied on by the audit, whose TAPs live in a private namespace.
 */
#include "probe.h"

int main(void) {
  begin("rtnl_getstats");
  int tap = open_tap("p0", 0), packet = open_packet("p0", 0);
  for (uint8_t i = 0; i < 3; i++) send_frame(tap, i);
  for (uint8_t i = 0; i < 5; i++) send_frame(packet, i);
  while (read_frame(tap) >= 0) continue;
  struct rtnl_link_stats64 stats = link_stats("p0");
  CHECK(stats.rx_packets == 3 && stats.rx_bytes >= 3 * 46, "rx: %d packets", (int)stats.rx_packets);
  CHECK(stats.tx_packets == 5 && stats.tx_bytes == 5 * 60, "tx: %d packets", (int)stats.tx_packets);
  /* The same name in another namespace is another device. */
  MUST(unshare(CLONE_NEWNET));
  open_tap("p0", 0);
  stats = link_stats("p0");
  CHECK(stats.rx_packets == 0 && stats.tx_packets == 0, "another namespace's p0 has our counters");
  return passed();
}
