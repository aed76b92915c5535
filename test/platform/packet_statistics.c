/*
 * PACKET_STATISTICS counts frames received and dropped (a full receive queue), and reading it sets it back to 0.
 * Relied on by the sweep, which therefore accumulates what it reads (packet_getsockopt(), net/packet/af_packet.c).
 */
#include "probe.h"

static struct tpacket_stats statistics(int packet) {
  struct tpacket_stats stats = {0};
  socklen_t length = sizeof stats;
  MUST(getsockopt(packet, SOL_PACKET, PACKET_STATISTICS, &stats, &length));
  return stats;
}

int main(void) {
  begin("packet_statistics");
  int tap = open_tap("p0", 0), packet = open_packet("p0", 0), size = 1; /* the kernel's minimum: room for a few */
  MUST(setsockopt(packet, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
  for (uint8_t i = 0; i < 100; i++) send_frame(tap, i);
  uint32_t kept = 0;
  while (read_frame(packet) >= 0) kept++;
  struct tpacket_stats first = statistics(packet), second = statistics(packet);
  /* tp_packets includes the dropped ones. */
  CHECK(first.tp_packets == 100, "100 frames written, tp_packets %u", first.tp_packets);
  CHECK(first.tp_drops > 0 && kept + first.tp_drops == 100, "%u read and %u dropped of 100", kept, first.tp_drops);
  CHECK(second.tp_packets == 0 && second.tp_drops == 0, "reading does not reset: %u, %u", second.tp_packets,
        second.tp_drops);
  return passed();
}
