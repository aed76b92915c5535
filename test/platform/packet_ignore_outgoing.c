/*
 * With PACKET_IGNORE_OUTGOING a packet socket sees what the guest sends, and nothing that is sent to the guest, by
 * itself or by others; without it, it sees others' frames twice over.
 * Relied on by the packet port: an echo of what it sent would be switched again.
 */
#include "probe.h"

int main(void) {
  begin("packet_ignore_outgoing");
  int tap = open_tap("p0", 0), quiet = open_packet("p0", 0), other = open_packet("p0", 0), off = 0;
  MUST(setsockopt(other, SOL_PACKET, PACKET_IGNORE_OUTGOING, &off, sizeof off));
  send_frame(quiet, 1);
  CHECK(readable(other, 1000) && read_frame(other) == 1, "outgoing frames are not shown to who wants them");
  send_frame(other, 2);
  CHECK(!readable(quiet, 50), "an outgoing frame is shown in spite of PACKET_IGNORE_OUTGOING");
  send_frame(tap, 3);
  CHECK(readable(quiet, 1000) && read_frame(quiet) == 3, "an incoming frame is not shown");
  return passed();
}
