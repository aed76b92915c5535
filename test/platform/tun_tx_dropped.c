/*
 * A TAP whose ring is full (txqueuelen frames) drops what comes, counts it in tx_dropped, and keeps what it had.
 * Relied on by the drain ("no new tx_dropped since hold") and by the bound of unread frames in a ring.
 */
#include "probe.h"

int main(void) {
  begin("tun_tx_dropped");
  int tap = open_tap("p0", 0), packet = open_packet("p0", 0);
  struct ifreq ifr = {.ifr_qlen = 10};
  configure("p0", SIOCSIFTXQLEN, &ifr);
  uint8_t frame[60];
  for (uint8_t i = 0; i < 15; i++) {
    make_frame(frame, i);
    if (write(packet, frame, sizeof frame) < 0 && errno != ENOBUFS) fail("write: %s", strerror(errno));
  }
  uint64_t dropped = link_stats("p0").tx_dropped;
  CHECK(dropped == 5, "15 frames into a ring of 10: tx_dropped is %d", (int)dropped);
  for (int i = 0; i < 10; i++) CHECK(read_frame(tap) == i, "frame %d is not next", i);
  CHECK(read_frame(tap) == -1, "more than 10 frames were kept");
  return passed();
}
