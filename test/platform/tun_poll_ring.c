/*
 * poll(POLLIN) on a duplicate of a tun descriptor is clear exactly when the TAP's ring is empty, whoever reads it.
 * Relied on by the drain: the daemon holds a dup of the descriptor that QEMU reads, and takes "clear" as proof that
 * QEMU has read all (tun_chr_poll(), drivers/net/tun.c).
 */
#include "probe.h"

int main(void) {
  begin("tun_poll_ring");
  int tap = open_tap("p0", 0), ours = dup(tap), packet = open_packet("p0", 0);
  MUST(ours);
  CHECK(!readable(ours, 0), "an empty ring polls readable");
  for (int round = 0; round < 100; round++) {
    for (uint8_t i = 0; i < 5; i++) send_frame(packet, i);
    for (int i = 0; i < 5; i++) {
      CHECK(readable(ours, 0), "%d frames unread, but poll is clear", 5 - i);
      CHECK(read_frame(tap) == i, "frame %d is not next", i);
    }
    CHECK(!readable(ours, 0), "all read, but poll is set");
  }
  return passed();
}
