/*
 * rx_packets of a TAP counts a frame when the holder of the descriptor writes it, and a packet socket on the netdev
 * receives it. Relied on by the sweep: swept when the growth of rx_packets is what the socket received and dropped.
 */
#include "probe.h"

int main(void) {
  begin("tun_rx_packets");
  int tap = open_tap("p0", 0), packet = open_packet("p0", 0);
  for (uint64_t i = 1; i <= 4; i++) {
    send_frame(tap, (uint8_t)i);
    CHECK(link_stats("p0").rx_packets == i, "%d written, %d counted", (int)i, (int)link_stats("p0").rx_packets);
    CHECK(readable(packet, 1000) && read_frame(packet) == (int)i, "frame %d did not reach the packet socket", (int)i);
  }
  CHECK(read_frame(packet) == -1, "a frame too many");
  return passed();
}
