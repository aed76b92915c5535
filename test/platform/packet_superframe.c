/*
 * A packet socket with PACKET_VNET_HDR carries a TCP super-frame whole in both directions of a TAP with offloads; to a
 * TAP without, the kernel cuts it into segments, and tx_packets counts those.
 * Relied on by the packet port: super-frames are nearly the whole of its TCP speed, and offloads change under it.
 */
#include "probe.h"

#define HEADERS (14 + 20 + 20)
#define MSS 1000
#define SEGMENTS 4
#define LENGTH (sizeof(struct virtio_net_hdr) + HEADERS + MSS * SEGMENTS)

static uint32_t add_words(const uint8_t *bytes, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i < length; i += 2) sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

static void make_superframe(uint8_t *to) {
  struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                  .hdr_len = HEADERS, .gso_size = MSS, .csum_start = 34, .csum_offset = 16};
  const uint16_t ip_length = 40 + MSS * SEGMENTS;
  const uint8_t ip[20] = {0x45, 0, (uint8_t)(ip_length >> 8), (uint8_t)ip_length, 0, 1, 0x40, 0, 64, 6, 0, 0,
                          10, 0, 0, 1, 10, 0, 0, 2};
  const uint8_t tcp[20] = {0x10, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0x10, 0, 0, 0, 0, 0};
  memset(to, 0, LENGTH);
  memcpy(to, &header, sizeof header);
  uint8_t *frame = to + sizeof header;
  make_frame(frame, 0);
  frame[12] = 8;
  frame[13] = 0;
  memcpy(frame + 14, ip, 20);
  uint32_t sum = ~add_words(ip, 20);
  frame[24] = (uint8_t)(sum >> 8);
  frame[25] = (uint8_t)sum;
  memcpy(frame + 34, tcp, 20);
  /* The pseudo-header's sum: the checksum itself is left to whoever needs it. */
  uint8_t pseudo[12] = {10, 0, 0, 1, 10, 0, 0, 2, 0, 6, (uint8_t)((ip_length - 20) >> 8), (uint8_t)(ip_length - 20)};
  sum = add_words(pseudo, sizeof pseudo);
  frame[50] = (uint8_t)(sum >> 8);
  frame[51] = (uint8_t)sum;
}

static void offload(int tap, unsigned long flags) { MUST(ioctl(tap, TUNSETOFFLOAD, flags)); }

int main(void) {
  begin("packet_superframe");
  static uint8_t sent[LENGTH], got[65536];
  struct virtio_net_hdr *header = (struct virtio_net_hdr *)got;
  int tap = open_tap("p0", IFF_VNET_HDR), packet = open_packet("p0", 1);
  make_superframe(sent);

  offload(tap, TUN_F_CSUM | TUN_F_TSO4);
  MUST(write(tap, sent, LENGTH));
  CHECK(readable(packet, 1000), "nothing from the TAP");
  ssize_t length = read(packet, got, sizeof got);
  CHECK(length == LENGTH, "from the TAP: %zd bytes of %zu", length, LENGTH);
  CHECK(header->gso_type == VIRTIO_NET_HDR_GSO_TCPV4 && header->gso_size == MSS, "from the TAP: GSO is lost");
  CHECK(memcmp(got + sizeof *header, sent + sizeof *header, LENGTH - sizeof *header) == 0, "from the TAP: changed");

  MUST(write(packet, sent, LENGTH));
  CHECK(readable(tap, 1000), "nothing into the TAP");
  length = read(tap, got, sizeof got);
  CHECK(length == LENGTH, "into the TAP: %zd bytes of %zu", length, LENGTH);
  CHECK(header->gso_type == VIRTIO_NET_HDR_GSO_TCPV4 && header->gso_size == MSS, "into the TAP: GSO is lost");
  CHECK(link_stats("p0").tx_packets == 1, "a whole super-frame is not counted as one");

  offload(tap, 0);
  MUST(write(packet, sent, LENGTH));
  for (int i = 0; i < SEGMENTS; i++) {
    CHECK(readable(tap, 1000), "without offloads: %d segments of %d", i, SEGMENTS);
    length = read(tap, got, sizeof got);
    CHECK(length == (ssize_t)(sizeof *header + HEADERS + MSS), "segment %d has %zd bytes", i, length);
    CHECK(header->gso_type == VIRTIO_NET_HDR_GSO_NONE, "segment %d is a super-frame", i);
  }
  CHECK(!readable(tap, 0), "more segments than expected");
  CHECK(link_stats("p0").tx_packets == 1 + SEGMENTS, "segments are not counted one by one");
  return passed();
}
