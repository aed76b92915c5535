/*
 * Frames in a TAP's ring, and the TAP itself, survive the closing of one of two descriptors of it.
 * Relied on at a kill: QEMU's end closes its descriptor, and the daemon reads out what the guest had not taken.
 */
#include "probe.h"

int main(void) {
  begin("tun_ring_dup");
  int tap = open_tap("p0", 0), ours = dup(tap), packet = open_packet("p0", 0);
  MUST(ours);
  for (uint8_t i = 0; i < 20; i++) send_frame(packet, i);
  CHECK(read_frame(tap) == 0, "frame 0 is not first");
  close(tap);
  for (int i = 1; i < 20; i++) CHECK(read_frame(ours) == i, "frame %d is lost", i);
  send_frame(packet, 20);
  CHECK(readable(ours, 1000) && read_frame(ours) == 20, "the TAP no longer carries frames");
  return passed();
}
