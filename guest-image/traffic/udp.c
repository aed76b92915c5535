/*
 * Sequence-numbered datagrams.
 *
 * Payload, big-endian: 0 magic "SWT1", 4 family (4 or 6), 5 lane (0: main), 6 u16 payload length, 8 u64 sequence from 0,
 * 16 u64 sender's CLOCK_MONOTONIC in ns, 24 sender's name, 36 receiver's name (12 bytes each, zero-padded; "*" to a
 * group), 48 filling: bytes of the flow's generator at word sequence * 256.
 *
 * A socket of its own per outgoing flow (connected, any source port), one for all that comes in on port 7001. A lane
 * with a group sends each datagram once, on its first flow of the family, when all its flows are greeted: whoever counts
 * has joined then. The others of its flows only have receivers.
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HEADER 48
#define PAYLOAD_MAX 9000
#define RECEIVE_BUFFER (16 << 20) /* so that the guest's own socket is never what loses */
#define BURST 8           /* datagrams of a flow in one tick, when ticks came late */
#define LATE_NS 500000000 /* a sender further behind its rate than this forgets the rest */
#define SHARE_LEAST 10000 /* with less, the fragments of one large datagram would not fit: __ip_append_data() */
#define BATCH 32          /* datagrams taken by one system call */

uint64_t udp_last_arrival;
static const char magic[4] = {'S', 'W', 'T', '1'};
static struct source receiver;

/* Which of the window's bits is this sequence, and was it set? */
static bool mark_seen(struct flow *flow, uint64_t sequence) {
  uint64_t *word = &flow->in.window[sequence % WINDOW_BITS / 64], bit = 1ull << (sequence % 64);
  bool seen = *word & bit;
  *word |= bit;
  return seen;
}

static void account(struct flow *flow, uint64_t sequence) {
  if (sequence >= flow->in.next) {
    /* The window moves on: the sequences skipped are not seen yet. */
    uint64_t from = flow->in.next;
    if (sequence - from >= WINDOW_BITS) from = sequence - WINDOW_BITS + 1;
    for (uint64_t skipped = from; skipped <= sequence; skipped++)
      flow->in.window[skipped % WINDOW_BITS / 64] &= ~(1ull << (skipped % 64));
    flow->in.next = sequence + 1;
    mark_seen(flow, sequence);
    flow->in.received++;
  } else if (flow->in.next - sequence > WINDOW_BITS) {
    flow->in.too_old++;
  } else if (mark_seen(flow, sequence)) {
    flow->in.duplicated++;
  } else {
    flow->in.received++;
    flow->in.reordered++;
  }
}

static void take(const uint8_t *payload, size_t length) {
  static uint8_t expected[PAYLOAD_MAX + 8];
  uint16_t stated;
  uint64_t sequence;
  if (length < HEADER || memcmp(payload, magic, 4) != 0) return;
  memcpy(&stated, payload + 6, 2);
  memcpy(&sequence, payload + 8, 8);
  const char *sender = (const char *)payload + 24, *to = (const char *)payload + 36;
  const struct lane *lane = payload[5] < lane_count ? &lanes[payload[5]] : NULL;
  struct flow *flow = find_flow(sender, strnlen(sender, NAME_MAX_LEN), payload[4], lane);
  if (flow == NULL || strncmp(to, lane->group == NULL ? options.me : "*", NAME_MAX_LEN) != 0) return;
  sequence = be64toh(sequence);
  fill(expected, length - HEADER, flow->in.seed, sequence * 256);
  if (ntohs(stated) != length || memcmp(payload + HEADER, expected, length - HEADER) != 0) {
    flow->in.damaged++; /* and not received: it shows as lost, too */
    return;
  }
  account(flow, sequence);
}

static void on_datagrams(struct source *self, uint32_t events) {
  static uint8_t buffers[BATCH][PAYLOAD_MAX + 8];
  struct mmsghdr messages[BATCH] = {0};
  struct iovec parts[BATCH];
  (void)events;
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){buffers[i], sizeof buffers[i]};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int count = recvmmsg(self->fd, messages, BATCH, MSG_DONTWAIT, NULL);
  for (int i = 0; i < count; i++) take(buffers[i], messages[i].msg_len);
  if (count > 0) udp_last_arrival = now_ns();
}

/* The buffer is of no use while all UDP memory of a small guest is bounded below it: in pages, and for both families. */
static void raise_udp_memory(void) {
  static const char pages[] = "16384 16384 16384";
  int fd = open("/proc/sys/net/ipv4/udp_mem", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, pages, sizeof pages - 1) < 0) { /* not the machine's own network namespace: it stays as it is */
  }
  close(fd);
}

static void group_address(const struct lane *lane, int family, struct sockaddr_storage *address) {
  struct sockaddr_storage four, six;
  char text[96];
  snprintf(text, sizeof text, "%s", lane->group);
  parse_addresses(text, &four, &six);
  *address = family == 4 ? four : six;
}

/* The kernel announces it by IGMP or MLD, and answers queries. */
static void join(const struct lane *lane, int family) {
  struct group_req request = {.gr_interface = if_nametoindex(lane->device)};
  group_address(lane, family, &request.gr_group);
  if (request.gr_group.ss_family == 0) return;
  if (setsockopt(receiver.fd, family == 4 ? IPPROTO_IP : IPPROTO_IPV6, MCAST_JOIN_GROUP, &request, sizeof request) < 0)
    die(lane->group);
}

void udp_start(void) {
  int size = RECEIVE_BUFFER;
  raise_udp_memory();
  receiver = (struct source){listen_on(UDP_PORT, SOCK_DGRAM), on_datagrams};
  if (setsockopt(receiver.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
    setsockopt(receiver.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  for (int i = 0; i < lane_count; i++) {
    if (lanes[i].group == NULL) continue;
    join(&lanes[i], 4);
    join(&lanes[i], 6);
  }
  watch(&receiver, EPOLLIN);
}

static void aim_at_group(const struct flow *flow, struct sockaddr_storage *to) {
  int device = (int)if_nametoindex(flow->lane->device), off = 0;
  struct ip_mreqn through = {.imr_ifindex = device};
  group_address(flow->lane, flow->family, to);
  if (to->ss_family == 0) die("the group has no address of a family that peers have");
  if (flow->family == 4) {
    setsockopt(flow->out.fd, IPPROTO_IP, IP_MULTICAST_IF, &through, sizeof through);
    setsockopt(flow->out.fd, IPPROTO_IP, IP_MULTICAST_LOOP, &off, sizeof off);
  } else {
    setsockopt(flow->out.fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &device, sizeof device);
    setsockopt(flow->out.fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &off, sizeof off);
  }
}

static void open_sender(struct flow *flow) {
  int on = 1, family = flow->address.ss_family;
  /* All senders together fill less than half of a device queue of 1,000: what is refused is refused here, where it is
     seen and sent again, not in the queue. 768 is the smallest memory a datagram is charged for. */
  int share = 400 * 768 / flow_count;
  if (share < SHARE_LEAST) share = SHARE_LEAST;
  if ((flow->out.fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0) die("socket");
  setsockopt(flow->out.fd, SOL_SOCKET, SO_SNDBUF, &share, sizeof share);
  /* Makes a full device queue an error of send() (ENOBUFS) instead of a silent loss: udp_send_skb(), net/ipv4/udp.c. */
  if (family == AF_INET) setsockopt(flow->out.fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
  else setsockopt(flow->out.fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
  struct sockaddr_storage to = flow->address;
  if (flow->lane->group != NULL) aim_at_group(flow, &to);
  set_port(&to, UDP_PORT);
  if (connect(flow->out.fd, (struct sockaddr *)&to, flow->address_length) < 0) die("connect");
}

static bool send_one(struct flow *flow, uint64_t now) {
  static uint8_t payload[PAYLOAD_MAX + 8];
  uint64_t dice = word_at(~flow->out.seed, flow->out.sent) >> 33;
  const struct lane *lane = flow->lane;
  size_t length = lane->udp_min + dice % (lane->udp_max - lane->udp_min + 1);
  uint16_t stated = htons((uint16_t)length);
  uint64_t sequence = htobe64(flow->out.sent), stamp = htobe64(now);
  memset(payload, 0, HEADER);
  memcpy(payload, magic, 4);
  payload[4] = (uint8_t)flow->family;
  payload[5] = lane->number;
  memcpy(payload + 6, &stated, 2);
  memcpy(payload + 8, &sequence, 8);
  memcpy(payload + 16, &stamp, 8);
  memcpy(payload + 24, options.me, strlen(options.me));
  const char *to = lane->group == NULL ? flow->peer : "*";
  memcpy(payload + 36, to, strlen(to));
  fill(payload + HEADER, length - HEADER, flow->out.seed, flow->out.sent * 256);
  if (send(flow->out.fd, payload, length, MSG_DONTWAIT) == (ssize_t)length) return true;
  /* An ICMP error waits in the queue that IP_RECVERR asked for: take it off, or it stays the socket's answer. */
  struct msghdr drain = {0};
  while (recvmsg(flow->out.fd, &drain, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0) continue;
  return false;
}

/* Everybody who counts what this flow sends is there. */
static bool heard(const struct flow *speaker) {
  for (int i = 0; i < flow_count; i++)
    if (flows[i].out.speaker == speaker && !(flows[i].greeting.done && flows[i].in.greeted)) return false;
  return true;
}

void udp_send_due(struct flow *flow, uint64_t now) {
  if (flow->lane->udp_rate == 0 || flow->out.speaker != flow || (flow->out.fd < 0 && !heard(flow))) return;
  if (flow->out.fd < 0) {
    open_sender(flow);
    flow->out.next_ns = now;
  }
  if (now > flow->out.next_ns + LATE_NS) flow->out.next_ns = now - LATE_NS;
  for (int burst = 0; burst < BURST && flow->out.next_ns <= now; burst++) {
    uint64_t sending = now_ns();
    if (!send_one(flow, sending)) {
      flow->out.refused++;
      return;
    }
    uint64_t gap = flow->out.sent > 0 ? sending - flow->out.last_ns : 0;
    if (gap > flow->out.largest_gap_ns) flow->out.largest_gap_ns = gap;
    flow->out.last_ns = sending;
    flow->out.sent++;
    flow->out.next_ns += 1000000000u / flow->lane->udp_rate;
  }
}
