/*
 * tx_packets of a TAP counts a frame when the holder of the descriptor reads it, not when it is queued.
 * Relied on by the audit: sent = read + unread (tun_do_read(), drivers/net/tun.c).
 */
#include "probe.h"

int main(void) {
  begin("tun_tx_packets");
  int tap = open_tap("p0", 0), packet = open_packet("p0", 0);
  for (uint8_t i = 0; i < 4; i++) send_frame(packet, i);
  CHECK(link_stats("p0").tx_packets == 0, "queued frames are counted already");
  for (uint64_t i = 1; i <= 4; i++) {
    CHECK(read_frame(tap) == (int)i - 1, "frame %d is not next", (int)i - 1);
    uint64_t counted = link_stats("p0").tx_packets;
    CHECK(counted == i, "%d read, %d counted", (int)i, (int)counted);
  }
  return passed();
}
